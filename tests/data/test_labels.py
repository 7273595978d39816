"""Reading the competition's CSV files."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaggle_cifar import competition
from kaggle_cifar.data import labels
from kaggle_cifar.data.labels import InvalidTableError
from kaggle_cifar.errors import DataMissingError, UserError
from tests.helpers.small_data import IDS, text_of, write_training_data


@given(st.dictionaries(st.integers(0, 10**18 - 1), st.integers(0, 9), min_size=1, max_size=60))
def test_labels_are_read_in_order_of_ids(tmp_path_factory, classes):
    path = tmp_path_factory.mktemp("labels") / "trainLabels.csv"
    path.write_text(text_of([f"{i},{competition.CLASS_NAMES[c]}" for i, c in classes.items()]))
    ids, class_indices = labels.read_training_labels(path)
    assert (ids.dtype, class_indices.dtype) == (np.int64, np.int32)
    assert list(zip(ids.tolist(), class_indices.tolist(), strict=True)) == sorted(classes.items())


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        ("1,cat\n", None, "expected the header"),
        ("", None, "expected the header"),
        ("id,label\n", None, "no rows"),
        ("id,label\n1,cat\n2,Dog\n", 3, "unknown label 'Dog' for the id 2"),
        ("id,label\n1,\n", 2, "no label for the id 1"),
        ("id,label\n1,cat\n2,dog\n1,cat\n", 4, "duplicate id 1, first used on line 2"),
        ("id,label\n1,cat\n\n2,dog\n", 3, "expected an integer id"),
        ("id,label\n1.5,cat\n", 2, "expected an integer id"),
        ("id,label\n1,cat,x\n", 2, "expected an integer id"),
        (f"id,label\n{10**18},cat\n", 2, "expected an integer id"),
    ],
)
def test_fault_of_labels_is_named_with_its_line(tmp_path, text, line, fault):
    path = tmp_path / "trainLabels.csv"
    path.write_text(text)
    with pytest.raises(InvalidTableError) as caught:
        labels.read_training_labels(path)
    assert (caught.value.path, caught.value.line) == (path, line)
    assert fault in caught.value.fault


def test_binary_file_is_refused(tmp_path):
    (tmp_path / "trainLabels.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidTableError):
        labels.read_rows(tmp_path / "trainLabels.csv")


def test_huge_file_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "trainLabels.csv").write_text("id,label\n")
    monkeypatch.setattr(labels, "LARGEST", 5)
    with pytest.raises(InvalidTableError):
        labels.read_rows(tmp_path / "trainLabels.csv")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataMissingError) as caught:
        labels.read_ids(tmp_path / "sampleSubmission.csv")
    assert caught.value.path == tmp_path / "sampleSubmission.csv"


def test_unreadable_file_is_not_called_invalid(tmp_path, monkeypatch):
    def read_bytes(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "sampleSubmission.csv").write_text("id,label\n1,cat\n")
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(UserError, match="could not be read") as caught:
        labels.read_ids(tmp_path / "sampleSubmission.csv")
    assert not isinstance(caught.value, InvalidTableError)


def test_labels_of_images_keep_their_order(project):
    write_training_data(project, 30)
    assert labels.labels_of(project, np.array([3, 17, 1])).tolist() == [3, 7, 1]
    with pytest.raises(InvalidTableError, match="no label for the id 31"):
        labels.labels_of(project, np.array([3, 31]))


def test_ids_are_those_of_the_sample_submission(csv, project):
    assert labels.submission_ids(project).tolist() == list(IDS)
    (project.raw / competition.SAMPLE_SUBMISSION).unlink()
    ids = labels.submission_ids(project)
    assert (ids.dtype, ids[0], ids[-1], len(ids)) == (np.int64, 1, 300_000, 300_000)
