"""Checkpoints on disk: what is kept, damaged ones, their removal."""

import numpy as np
import pytest

from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.training.checkpoint import (
    CheckpointError,
    load_checkpoint,
    remove_checkpoint,
    save_checkpoint,
)
from kaggle_cifar.training.train import train
from tests.helpers.small_data import small_airbench
from tests.training.conftest import OPTIONS


def test_checkpoint_keeps_values_and_arrays_in_order(tmp_path):
    values = {"epoch": 1, "history": [{"loss": 0.1, "val_loss": None}]}
    arrays = {"model": [np.full(i, i, np.float16) for i in range(12)], "none": []}
    save_checkpoint(tmp_path / "state.npz", values, arrays)
    found, groups = load_checkpoint(tmp_path / "state.npz")
    assert found == values
    assert list(groups) == ["model"]  # an empty list leaves nothing
    assert [array.tolist() for array in groups["model"]] == [a.tolist() for a in arrays["model"]]


@pytest.mark.parametrize("content", [b"", b"damaged", b"PK\x03\x04 damaged"])
def test_damaged_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "state.npz"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert caught.value.path == path


def test_checkpoint_of_another_recipe_is_refused(project, train_and_kill):
    recipe = small_airbench(epochs=2)
    run = train_and_kill(recipe, "other-state")
    values, arrays = load_checkpoint(run.checkpoint_file)
    for changed in ({"model": arrays["model"][:-1]}, {"totals": []}):
        save_checkpoint(run.checkpoint_file, values, {**arrays, **changed})
        with pytest.raises(CheckpointError) as caught:
            train(project, recipe, run.name, OPTIONS)
        assert caught.value.path == run.checkpoint_file


def test_removal_keeps_foreign_files(tmp_path):
    path = tmp_path / "checkpoint" / "state.npz"
    save_checkpoint(path, {}, {})
    remove_checkpoint(path)
    assert not path.parent.exists()
    save_checkpoint(path, {}, {})
    (path.parent / "notes.txt").write_text("mine")
    remove_checkpoint(path)
    assert [file.name for file in path.parent.iterdir()] == ["notes.txt"]
    path.symlink_to(path.parent / "notes.txt")
    remove_checkpoint(path)
    assert [file.name for file in path.parent.iterdir()] == ["notes.txt"]
    path.mkdir()
    with pytest.raises(ForeignPathError):
        remove_checkpoint(path)
