"""The whole way on a small sample, through the command line and the real kaggle client."""

import json
import os
import subprocess
import sys

import pytest

from kaggle_cifar.competition import FILES
from kaggle_cifar.data.synthetic import SOLUTION, draw_sample
from kaggle_cifar.submission.score import read_solution
from tests.helpers.kaggle_server import SECRETS


@pytest.fixture
def site(kaggle_site, tmp_path):
    """The site with a drawn sample instead of its tiny files, scored by the sample's solution."""
    drawn = tmp_path / "drawn"
    draw_sample(drawn, seed=5, train_count=120, test_count=110)
    kaggle_site.files = {name: (drawn / name).read_bytes() for name in FILES}
    kaggle_site.solution = dict.fromkeys(range(1, 111), ("cat", "Ignored"))
    for image_id, label, usage in read_solution(drawn / SOLUTION):
        kaggle_site.solution[image_id] = (label, usage.title())
    kaggle_site.solution_file = drawn / SOLUTION
    return kaggle_site


@pytest.fixture
def run(tmp_path):
    def run(*arguments):
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "kaggle_cifar", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            env=os.environ,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        printed = done.stdout + done.stderr
        assert not [secret for secret in SECRETS if secret in printed]
        return done.stdout

    return run


def snapshot(folder):
    """Return every file's content; Kaggle's answers, which a second look repeats, included."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".kaggle-cifar.lock"
    }


def test_from_nothing_to_a_score(site, run, tmp_path):
    commands = [
        ("download",),
        ("train", "--epochs", "2"),
        ("predict",),
        ("check", "submissions/model3-tuned.csv", "--solution", str(site.solution_file)),
        ("submit", "submissions/model3-tuned.csv", "-m", "first", "--wait"),
    ]
    assert "PROBLEM" not in run("doctor")
    outputs = [run(*command) for command in commands]
    assert "Comparing the checksums" not in outputs[0]
    assert list((tmp_path / "project" / "data" / "cache").glob("test-*.npy"))
    project = tmp_path / "project"
    record = json.loads((project / "submissions" / "model3-tuned.json").read_text())
    assert record["status"] == "COMPLETE"
    assert record["runs"] == ["model3-tuned"]
    assert f"public accuracy {record['public_score']} " in outputs[3]
    assert f"private accuracy {record['private_score']} " in outputs[3]
    csv = (project / "submissions" / "model3-tuned.csv").read_text().splitlines()
    assert csv[0] == "id,label"
    assert [int(row.partition(",")[0]) for row in csv[1:]] == list(range(1, 111))
    assert (project / "runs" / "model3-tuned" / "test_probabilities.npy").exists()

    before = snapshot(project)
    for command in commands:
        run(*command)
    assert snapshot(project) == before
    assert len(site.submissions) == 1
    secrets = [secret.encode() for secret in SECRETS]
    assert not [path for path, content in before.items() if any(s in content for s in secrets)]


def test_two_runs_make_one_submission(site, run, tmp_path):
    run("download")
    run("train", "--epochs", "1")
    run("train", "--epochs", "1", "--seed", "1")
    assert "model3-tuned + model3-tuned-seed1" in run(
        "predict", "model3-tuned", "model3-tuned-seed1"
    )
    csv = "submissions/model3-tuned+model3-tuned-seed1.csv"
    assert "valid submission of 110 rows" in run("check", csv)
