"""Loading training sets with ids, pixels and labels together; validation splits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kaggle_cifar.data.dataset import (
    LimitError,
    SplitError,
    load_training_set,
    split_validation,
    stratified_choice,
)
from kaggle_cifar.data.decoding import BrokenImageError
from kaggle_cifar.errors import DataMissingError
from tests.helpers.small_data import project_in, write_manifest, write_training_data


def test_training_images_keep_their_ids_and_labels(tmp_path):
    project = project_in(tmp_path)
    pixels = write_training_data(project, 120)
    labels_file = project.raw / "trainLabels.csv"
    header, *rows = labels_file.read_text().splitlines()
    labels_file.write_text("\n".join([header, *sorted(rows)]) + "\n")  # 1, 10, 100, …
    data = load_training_set(project)
    np.testing.assert_array_equal(data.ids, np.arange(1, 121))
    np.testing.assert_array_equal(data.labels, np.arange(1, 121) % 10)
    np.testing.assert_array_equal(data.pixels, pixels)


@pytest.mark.parametrize(
    ("break_image", "words"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(b""), "not an image (0 bytes)"),
        (lambda path: path.write_bytes(b"<html>no</html>"), "not an image"),
        (lambda path: path.write_bytes(path.read_bytes()[:1500]), "damaged or cut off"),
        (lambda path: Image.new("RGB", (32, 33)).save(path), "32 x 33 pixels"),
        (lambda path: Image.new("RGB", (1, 1)).save(path), "1 x 1 pixels"),
    ],
)
def test_broken_image_is_named(tmp_path, break_image, words):
    project = project_in(tmp_path)
    write_training_data(project, 40)
    path = project.images("train") / "23.png"
    break_image(path)
    with pytest.raises(BrokenImageError) as caught:
        load_training_set(project)
    assert caught.value.path == str(path)
    assert words in caught.value.what


def test_missing_folder_is_named(tmp_path):
    project = project_in(tmp_path)
    write_training_data(project, 10)
    for path in project.images("train").iterdir():
        path.unlink()
    project.images("train").rmdir()
    with pytest.raises(DataMissingError) as caught:
        load_training_set(project)
    assert caught.value.path == project.images("train")


def test_subset_is_equal_from_files_and_cache(tmp_path):
    project = project_in(tmp_path)
    pixels = write_training_data(project, 90)
    write_manifest(project, "train")
    from_files = load_training_set(project, limit=33)
    assert not project.cache.exists()
    load_training_set(project)
    assert list(project.cache.glob("train-*.npy"))
    from_cache = load_training_set(project, limit=33)
    np.testing.assert_array_equal(from_cache.ids, from_files.ids)
    np.testing.assert_array_equal(from_cache.pixels, from_files.pixels)
    np.testing.assert_array_equal(from_cache.pixels, pixels[from_cache.ids - 1])


def test_images_changed_after_caching_are_refused(tmp_path):
    project = project_in(tmp_path)
    write_training_data(project, 60)
    write_manifest(project, "train")
    load_training_set(project)
    for image_id in range(21, 41):
        Image.new("RGB", (32, 32)).save(project.images("train") / f"{image_id}.png")
    for limit in (None, 59):
        with pytest.raises(BrokenImageError, match=r"train/2\d\.png .* checksum differs"):
            load_training_set(project, limit)


@given(
    labels=st.lists(st.integers(0, 9), min_size=30, max_size=300).map(np.array),
    share=st.floats(0.1, 1),
    seed=st.integers(0, 5),
)
def test_stratified_choice_keeps_class_shares(labels, share, seed):
    count = max(10, int(len(labels) * share))
    rows = stratified_choice(labels, count, np.random.default_rng(seed))
    assert len(set(rows)) == count
    for label in range(10):
        expected = np.sum(labels == label) * count / len(labels)
        assert abs(np.sum(labels[rows] == label) - expected) <= 1


@pytest.mark.parametrize("count", [9, 51])
def test_choice_of_too_few_or_too_many_is_refused(count):
    with pytest.raises(LimitError) as caught:
        stratified_choice(np.arange(50) % 10, count, np.random.default_rng(0))
    assert caught.value.limit == count


def test_validation_split_has_the_named_rows():
    labels = np.repeat(np.arange(10), 50)
    train, validation = split_validation(labels, "last20")
    np.testing.assert_array_equal(validation, np.arange(400, 500))
    np.testing.assert_array_equal(train, np.arange(400))
    train, validation = split_validation(labels, "stratified")
    assert np.bincount(labels[validation]).tolist() == [10] * 10
    assert sorted([*train, *validation]) == list(range(500))
    train, validation = split_validation(labels, "none")
    assert (len(train), len(validation)) == (500, 0)


@given(
    labels=st.lists(st.integers(0, 9), min_size=12, max_size=200).map(np.array),
    folds=st.integers(2, 6),
)
def test_every_row_is_validated_in_one_fold(labels, folds):
    parts = []
    for fold in range(1, folds + 1):
        train, validation = split_validation(labels, f"fold{fold}of{folds}")
        assert sorted([*train, *validation]) == list(range(len(labels)))
        parts.append(validation)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    for counts in zip(*(np.bincount(labels[part], minlength=10) for part in parts), strict=True):
        assert max(counts) - min(counts) <= 1


def test_more_folds_than_images_are_refused():
    labels = np.repeat(np.arange(10), 2)
    with pytest.raises(SplitError) as caught:
        split_validation(labels, "fold21of21")
    assert caught.value.images == 20


@pytest.mark.parametrize(
    ("count", "validation"),
    [(1, "last20"), (47, "stratified"), (1, "stratified"), (1, "fold1of2"), (1, "fold2of2")],
)
def test_split_with_an_empty_part_is_refused(count, validation):
    with pytest.raises(SplitError) as caught:
        split_validation(np.arange(count) % 10, validation)
    assert caught.value.images == count
