"""Every step on a small sample, through the command line and the real kaggle client."""

import json

import pytest

from kaggle_cifar.competition import FILES
from kaggle_cifar.data.synthetic import SOLUTION, draw_sample
from kaggle_cifar.submission.score import read_solution
from tests.helpers.kaggle_server import SECRETS
from tests.helpers.processes import run_command

CSV = "submissions/model3-tuned.csv"


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
def project(tmp_path, monkeypatch):
    """The working folder of the commands."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def snapshot(folder):
    """Return the content of each file except locks and the leaderboard, which has its date."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
        and path.name not in (".kaggle-cifar.lock", ".kaggle-cifar.leaderboard.json")
    }


def succeed(result):
    """Return the output of a command that succeeded and printed no secret."""
    status, output, errors = result
    assert status == 0, output + errors
    assert not [secret for secret in SECRETS if secret in output + errors]
    return output


def run_process(*arguments):
    """Return the output of a command in its own process."""
    done = run_command(*arguments)
    return succeed((done.returncode, done.stdout, done.stderr))


@pytest.mark.slow
def test_commands_lead_to_a_score_and_repeat_nothing(site, run, project):
    commands = [
        ("download",),
        ("train", "--epochs", "1"),
        ("predict",),
        ("check", CSV, "--solution", str(site.solution_file)),
        ("submit", CSV, "-m", "first", "--wait"),
    ]
    assert "PROBLEM" not in succeed(run("doctor"))
    outputs = [run_process(*command) for command in commands[:2]]
    outputs += [succeed(run(*command)) for command in commands[2:]]
    assert "Comparing the checksums" not in outputs[0]
    assert list((project / "data" / "cache").glob("test-*.npy"))
    record_file = project / "submissions" / "model3-tuned.json"
    record = json.loads(record_file.read_text())
    assert record["status"] == "COMPLETE"
    assert record["runs"] == ["model3-tuned"]
    assert f"public accuracy {record['public_score']} " in outputs[3]
    assert f"private accuracy {record['private_score']} " in outputs[3]
    csv = (project / CSV).read_text().splitlines()
    assert csv[0] == "id,label"
    assert [int(row.partition(",")[0]) for row in csv[1:]] == list(range(1, 111))
    assert (project / "runs" / "model3-tuned" / "test_probabilities.npy").exists()

    before = snapshot(project)
    for command in commands:
        succeed(run(*command))
    assert snapshot(project) == before
    assert len(site.submissions) == 1
    secrets = [secret.encode() for secret in SECRETS]
    assert not [path for path, content in before.items() if any(s in content for s in secrets)]

    succeed(run("train", "--epochs", "1", "--seed", "1"))
    pair = ("model3-tuned", "model3-tuned-seed1")
    assert " + ".join(pair) in succeed(run("predict", *pair))
    assert "valid submission of 110 rows" in succeed(
        run("check", f"submissions/{'+'.join(pair)}.csv")
    )
