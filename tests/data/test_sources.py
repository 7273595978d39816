"""How to get files of `data/raw` again, from each of the three sources."""

from pathlib import Path

import pytest

from kaggle_cifar.data.sources import SOLUTION, SOURCE_NAME, how_to_extract, how_to_restore


@pytest.mark.parametrize(
    ("mark", "command"),
    [
        ("notes.txt", "`kaggle-cifar --data-dir d download`"),
        (SOURCE_NAME, "`kaggle-cifar --data-dir d download --source keras`"),
        (SOLUTION, "`kaggle-cifar --data-dir d sample d/raw`"),
    ],
)
def test_file_is_restored_from_its_source(tmp_path, monkeypatch, mark, command):
    monkeypatch.chdir(tmp_path)
    raw = Path("d/raw")
    raw.mkdir(parents=True)
    (raw / mark).touch()
    archive = raw / "train.7z"
    assert command in how_to_restore(archive)
    assert command in how_to_extract(Path("d/train"))
    archive.touch()
    remedy = how_to_restore(archive)
    assert remedy.startswith("Delete ") and command in remedy
    assert how_to_extract(Path("d/train")) == "Run `kaggle-cifar --data-dir d extract`."
