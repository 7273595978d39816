"""The public CIFAR-10, from files in the format that keras.datasets reads."""

import pickle

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from kaggle_cifar.cli import cli
from kaggle_cifar.data import keras_cifar10, labels
from kaggle_cifar.data.dataset import load_training_set
from kaggle_cifar.data.download import OtherSourceError
from kaggle_cifar.data.extract import extract
from kaggle_cifar.data.keras_cifar10 import KerasDownloadError
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import write_record
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.submission.submit import submit
from kaggle_cifar.submission.write import write_submission

TEST_COUNT = 7


def write_batch(path, count, rng):
    """Write a pickled batch as the public archive holds them: rows of red, green and blue."""
    pixels = rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    labels = rng.integers(0, 10, count).tolist()
    batch = {b"data": pixels.reshape(count, -1), b"labels": labels}
    # Python 2 wrote the public files. Protocol 3 is the first that keeps byte strings.
    path.write_bytes(pickle.dumps(batch, protocol=3))
    return pixels.transpose(0, 2, 3, 1), labels


@pytest.fixture
def batches(tmp_path, monkeypatch):
    """Write five training batches of one image, which Keras repeats, and a test batch."""
    from keras.src.datasets import cifar10

    folder = tmp_path / "cache" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    train = [write_batch(folder / f"data_batch_{i}", 1, rng) for i in range(1, 6)]
    test = write_batch(folder / "test_batch", TEST_COUNT, rng)
    for file in folder.iterdir():  # where Keras before 3.6 looks for it
        (folder.parent / file.name).symlink_to(file)
    monkeypatch.setattr(cifar10, "get_file", lambda *args, **options: str(folder.parent))
    return train, test


@pytest.fixture
def small(monkeypatch):
    """A few images instead of the 60,000 that Keras loads."""
    rng = np.random.default_rng(1)
    train, test = (
        rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8) for count in (20, TEST_COUNT)
    )
    classes = np.arange(20, dtype=np.uint8) % 10
    monkeypatch.setattr(keras_cifar10, "load", lambda: (train, classes, test))
    return train, classes, test


def test_keras_arrays_are_loaded(batches):
    train, (test_images, _) = batches
    images, classes, loaded_test_images = keras_cifar10.load()
    assert (images.shape, classes.shape) == ((50_000, 32, 32, 3), (50_000,))
    for i, (pixels, label) in enumerate(train):
        np.testing.assert_array_equal(images[10_000 * i + 77], pixels[0])
        assert classes[10_000 * i + 77] == label[0]
    np.testing.assert_array_equal(loaded_test_images[:TEST_COUNT], test_images)


def test_images_have_the_layout_of_the_competition(small, project, capsys):
    command = ["--data-dir", str(project.data), "download", "--source", "keras"]
    assert CliRunner().invoke(cli, command, catch_exceptions=False).exit_code == 0
    train, classes, test = small
    data = load_training_set(project)
    np.testing.assert_array_equal(data.pixels, train)
    np.testing.assert_array_equal(data.labels, classes)
    assert labels.submission_ids(project).tolist() == list(range(1, TEST_COUNT + 1))
    for image_id, image in enumerate(test, start=1):
        np.testing.assert_array_equal(Image.open(project.images("test") / f"{image_id}.png"), image)
    # The labels of the test images are nowhere.
    assert {path.name for path in project.raw.iterdir() if path.name != ".kaggle-cifar.lock"} == {
        "source.json",
        "trainLabels.csv",
        "sampleSubmission.csv",
    }
    capsys.readouterr()
    keras_cifar10.download_from_keras(project)
    assert "already holds the public CIFAR-10" in capsys.readouterr().out
    extract(project)  # nothing to do, and nothing undone
    assert len(load_training_set(project)) == 20
    with pytest.raises(UserError, match="public CIFAR-10"):
        csv = project.submissions / "s.csv"
        write_submission(csv, np.arange(1, 8), np.arange(7), ["model3"])
        submit(csv, project)


def test_files_of_kaggle_are_not_mixed_with_it(project):
    project.raw.mkdir(parents=True)
    (project.raw / "test.7z").write_bytes(b"Kaggle's")
    with pytest.raises(OtherSourceError, match=r"test\.7z") as caught:
        keras_cifar10.download_from_keras(project)
    assert caught.value.path == project.raw
    assert (project.raw / "test.7z").read_bytes() == b"Kaggle's"


def mark_as_public(project):
    write_record(
        keras_cifar10.source_file(project), keras_cifar10.SOURCE_KIND, keras_cifar10.SOURCE
    )


@pytest.mark.parametrize("name", ["trainLabels.csv", "sampleSubmission.csv"])
def test_foreign_table_is_kept(small, project, name):
    mark_as_public(project)
    (project.raw / name).write_text("id,label\n1,cat\n")
    with pytest.raises(ForeignPathError) as caught:
        keras_cifar10.download_from_keras(project)
    assert caught.value.path == project.raw / name
    assert (project.raw / name).read_text() == "id,label\n1,cat\n"


@pytest.mark.parametrize("name", ["train.7z", "test.7z"])
def test_archive_in_folder_of_public_data_is_refused(project, name):
    mark_as_public(project)
    (project.raw / name).write_bytes(b"Kaggle's")
    with pytest.raises(OtherSourceError, match=name):
        keras_cifar10.download_from_keras(project)
    assert (project.raw / name).read_bytes() == b"Kaggle's"


def test_foreign_source_json_is_kept(project):
    project.raw.mkdir(parents=True)
    keras_cifar10.source_file(project).write_text('{"source": "mine"}')
    with pytest.raises(ForeignPathError) as caught:
        keras_cifar10.download_from_keras(project)
    assert caught.value.path == keras_cifar10.source_file(project)
    assert keras_cifar10.source_file(project).read_text() == '{"source": "mine"}'


@pytest.mark.parametrize("split", ["train", "test"])
def test_foreign_images_are_kept(project, split):
    project.images(split).mkdir(parents=True)
    (project.images(split) / "1.png").write_bytes(b"mine")
    with pytest.raises(ForeignPathError) as caught:
        keras_cifar10.download_from_keras(project)
    assert caught.value.path == project.images(split) / "1.png"
    assert (project.images(split) / "1.png").read_bytes() == b"mine"
    assert not keras_cifar10.source_file(project).exists()


def test_failed_keras_download_is_explained(project, monkeypatch):
    from keras.src.datasets import cifar10

    def no_network(*args, **options):
        raise Exception("URL fetch failure on https://…: None -- no route to host")

    monkeypatch.setattr(cifar10, "get_file", no_network)
    with pytest.raises(KerasDownloadError, match="no route to host"):
        keras_cifar10.download_from_keras(project)
    assert not (project.raw / "source.json").exists()
