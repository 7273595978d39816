import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import py7zr
import pytest
from PIL import Image

from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.data import synthetic
from kaggle_cifar.data.extract import extract
from kaggle_cifar.data.png import encode_png
from kaggle_cifar.data.synthetic import OtherSampleError
from kaggle_cifar.errors import DiskFullError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.ownership import ForeignPathError
from tests.helpers.archives import tree


@pytest.fixture(scope="module")
def competition(tmp_path_factory):
    project = ProjectPaths(tmp_path_factory.mktemp("competition"))
    synthetic.draw_sample(project.raw, seed=3, train_count=1200, test_count=1100)
    extract(project)
    return project


def contents(archive):
    factory = py7zr.io.BytesIOFactory(10**6)
    with py7zr.SevenZipFile(archive) as opened:
        opened.extractall(factory=factory)
    return {name: product.read() for name, product in factory.products.items()}


def pixels(project, split, ids):
    return np.stack([np.asarray(Image.open(project.images(split) / f"{i}.png")) for i in ids])


def test_tables_have_the_layout_of_kaggle(competition):
    train = pd.read_csv(competition.raw / "trainLabels.csv")
    submission = pd.read_csv(competition.raw / "sampleSubmission.csv")
    solution = pd.read_csv(competition.raw / "solution.csv")
    assert list(train) == list(submission) == ["id", "label"]
    assert train.id.tolist() == list(range(1, 1201))
    assert train.label.value_counts().to_dict() == dict.fromkeys(CLASS_NAMES, 120)
    assert submission.id.tolist() == list(range(1, 1101))
    assert set(submission.label) == {"cat"}
    assert list(solution) == ["id", "label", "Usage"]
    assert solution.id.is_unique and solution.id.isin(submission.id).all()
    assert len(solution) == 550
    assert set(solution.Usage) == {"Public", "Private"}
    assert set(solution.label) == set(CLASS_NAMES)


def test_archives_hold_every_image(competition):
    for split, count in (("train", 1200), ("test", 1100)):
        names = {f"{i}.png" for i in range(1, count + 1)}
        assert {path.name for path in competition.images(split).iterdir()} == names
    image = Image.open(competition.images("train") / "1.png")
    assert (image.size, image.mode) == ((32, 32), "RGB")


def test_linear_classifiers_fail_on_the_sample(competition):
    labels = pd.read_csv(competition.raw / "trainLabels.csv").label.map(CLASS_NAMES.index)
    solution = pd.read_csv(competition.raw / "solution.csv")
    truth = solution.label.map(CLASS_NAMES.index).to_numpy()
    train = pixels(competition, "train", range(1, 1201)).reshape(1200, -1) / 255
    test = pixels(competition, "test", solution.id).reshape(len(solution), -1) / 255

    centred = train - train.mean(0)
    kernel = centred @ centred.T + 100 * np.eye(1200)
    weights = centred.T @ np.linalg.solve(kernel, np.eye(10)[labels])
    ridge = ((test - train.mean(0)) @ weights).argmax(1)
    assert np.mean(ridge == truth) < 0.5

    means = np.stack([train[labels == index].mean(0) for index in range(10)])
    nearest = ((test[:, None] - means) ** 2).sum(2).argmin(1)
    assert np.mean(nearest == truth) < 0.5


def test_pairing_by_order_of_listing_fails(competition):
    labels = pd.read_csv(competition.raw / "trainLabels.csv", index_col="id").label
    listed = sorted(path.name for path in competition.images("train").iterdir())
    true_labels = labels[[int(name.removesuffix(".png")) for name in listed]]
    assert np.mean(true_labels.to_numpy() == labels.to_numpy()) < 0.2


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_shape_of_class_is_whole_in_any_colour(name):
    labels = np.full(8, CLASS_NAMES.index(name))
    masks = synthetic.draw_masks(labels, np.random.default_rng(0))
    # The whole shape is inside the image, and neither a speck nor all of it.
    edges = np.concatenate([masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1]])
    assert edges.max() < 0.7
    assert (masks.sum((1, 2)) > 25).all() and (masks.sum((1, 2)) < 500).all()
    first, second = (
        synthetic.paint(masks, np.random.default_rng(seed)).astype(int) for seed in (1, 2)
    )
    assert np.abs(first - second).mean() > 20


def test_same_seed_draws_the_same_sample(tmp_path):
    for folder, seed in (("first", 1), ("again", 1), ("other", 2)):
        synthetic.draw_sample(tmp_path / folder, seed, train_count=30, test_count=20)
    for name in ("train.7z", "test.7z"):
        first, again, other = (
            contents(tmp_path / folder / name) for folder in ("first", "again", "other")
        )
        assert first == again
        assert first != other
    for name in ("trainLabels.csv", "sampleSubmission.csv", "solution.csv"):
        first, again = ((tmp_path / folder / name).read_bytes() for folder in ("first", "again"))
        assert first == again


def test_existing_sample_is_not_changed(tmp_path, capsys):
    synthetic.draw_sample(tmp_path, 1, 20, 20)
    before = tree(tmp_path)
    synthetic.draw_sample(tmp_path, 1, 20, 20)
    assert "already holds this sample" in capsys.readouterr().out
    with pytest.raises(OtherSampleError) as caught:
        synthetic.draw_sample(tmp_path, 2, 20, 20)
    assert (caught.value.path, caught.value.seed) == (tmp_path, 2)
    assert tree(tmp_path) == before
    assert before.keys() == set(synthetic.SAMPLE_FILES)


@pytest.mark.parametrize("name", synthetic.SAMPLE_FILES)
def test_foreign_file_is_not_replaced(tmp_path, name):
    (tmp_path / name).write_bytes(b"Kaggle's own")
    with pytest.raises(ForeignPathError) as caught:
        synthetic.draw_sample(tmp_path, 0, 20, 20)
    assert caught.value.path == tmp_path / name
    assert tree(tmp_path) == {name: b"Kaggle's own"}


@pytest.mark.parametrize("name", synthetic.SAMPLE_FILES)
def test_dangling_link_is_not_replaced(tmp_path, name):
    (tmp_path / name).symlink_to("elsewhere")
    with pytest.raises(ForeignPathError) as caught:
        synthetic.draw_sample(tmp_path, 0, 20, 20)
    assert caught.value.path == tmp_path / name
    assert (tmp_path / name).readlink() == Path("elsewhere")


def test_other_files_in_the_folder_are_kept(tmp_path):
    for name in (".sample.partial", "notes.txt"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").write_text("mine")
    synthetic.draw_sample(tmp_path, 0, 20, 20)
    for name in (".sample.partial", "notes.txt"):
        assert tree(tmp_path / name) == {"mine": b"mine"}


def test_sample_is_written_through_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    synthetic.draw_sample(tmp_path / "link", 0, 20, 20)
    assert tree(tmp_path / "disk").keys() == set(synthetic.SAMPLE_FILES)


class FullDisk:
    """Lets some images be encoded, then has no space for the next."""

    def __init__(self, allowed):
        self.allowed = allowed

    def __call__(self, image):
        if self.allowed == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.allowed -= 1
        return b"an image"


@pytest.mark.parametrize("allowed", [0, 25])
def test_full_disk_leaves_no_files(tmp_path, monkeypatch, allowed):
    monkeypatch.setattr(synthetic, "encode_png", FullDisk(allowed))
    with pytest.raises(DiskFullError):
        synthetic.draw_sample(tmp_path, 0, 20, 20)
    assert tree(tmp_path) == {}


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from kaggle_cifar.data import synthetic

calls = int(sys.argv[2])
replace = Path.replace

def killed(self, target):
    global calls
    calls -= 1
    if calls == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

Path.replace = killed
synthetic.draw_sample(Path(sys.argv[1]), 1, 20, 20)
"""


@pytest.mark.kill
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("calls", [1, 3, 6, 8, 10])
def test_killed_drawing_is_completed_by_next_run(tmp_path, calls):
    command = [sys.executable, "-c", KILLED_AT, str(tmp_path / "killed"), str(calls)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    for folder in ("killed", "whole"):
        synthetic.draw_sample(tmp_path / folder, 1, 20, 20)
    assert tree(tmp_path / "killed").keys() == tree(tmp_path / "whole").keys()
    for name in ("train.7z", "test.7z"):
        assert contents(tmp_path / "killed" / name) == contents(tmp_path / "whole" / name)


def test_junk_has_the_shape_of_images():
    junk = synthetic.draw_junk(5, np.random.default_rng(0))
    assert junk.shape == (5, 32, 32, 3)
    assert Image.open(io.BytesIO(encode_png(junk[0]))).size == (32, 32)
