"""What a run lacks is named, and the rest is read."""

import dataclasses

import pytest

from kaggle_cifar.files import write_json
from kaggle_cifar.report.reading import read_run
from tests.helpers.small_data import project_in, write_training_data
from tests.helpers.small_runs import write_run, write_test_probabilities


@pytest.mark.parametrize(
    ("name", "content", "sentence", "still_there"),
    [
        ("history.csv", None, "history.csv is missing", "validation"),
        ("history.csv", "damaged", "the column epoch is missing", "validation"),
        ("validation_probabilities.npy", None, "probabilities.npy is missing", "metrics"),
        ("validation_probabilities.npy", "x", "does not hold probabilities", "metrics"),
        ("environment.json", None, "environment.json is missing", "validation"),
        ("environment.json", "{", "environment.json is not valid JSON", "validation"),
        ("metrics.json", None, "unfinished: 4 of 4 epochs", "history"),
        ("metrics.json", "[]", "it must be an object", "validation"),
        ("run.json", "[1]", "it must be an object", "validation"),
        ("run.json", '{"recipe": 3}', "test_probabilities.npy is missing", "validation"),
    ],
)
def test_read_run_names_what_is_missing(project, name, content, sentence, still_there):
    run = write_run(project, "one")
    if content is None:
        (run.folder / name).unlink()
    else:
        (run.folder / name).write_text(content)
    found = read_run(project, run)
    assert any(sentence in part for part in found.missing)
    assert getattr(found, still_there)


def test_read_run_notices_labels_of_other_data(project, tmp_path):
    run = write_run(project, "one")
    other = project_in(tmp_path / "other")
    write_training_data(other, 390)
    other = dataclasses.replace(other, runs=project.runs)
    assert "no label for the id 391" in " ".join(read_run(other, run).missing)
    path = other.raw / "trainLabels.csv"
    path.write_text((project.raw / "trainLabels.csv").read_text().replace("cat", "dog"))
    found = read_run(other, run)
    assert found.validation is None
    assert any(str(path) in sentence for sentence in found.missing)


def test_read_run_refuses_predictions_of_other_weights(project):
    run = write_run(project, "one")
    write_test_probabilities(run, range(1, 61))
    run.weights_file.write_bytes(b"new weights")
    write_json(run.folder / "test_probabilities.json", {"weights_sha256": "of the old ones"})
    found = read_run(project, run)
    assert found.test is None
    assert any("other weights" in sentence for sentence in found.missing)
    write_json(run.folder / "test_probabilities.json", {"weights_sha256": run.weights_sha256()})
    assert len(read_run(project, run).test) == 60
