"""The command that checks the machine."""

import importlib

import pytest

from kaggle_cifar.doctor import Finding

doctor = importlib.import_module("kaggle_cifar.doctor")


@pytest.mark.parametrize(("worst", "status"), [("ok", 0), ("warning", 0), ("problem", 1)])
def test_problem_exits_with_1(run, monkeypatch, worst, status):
    findings = [Finding("key", "ok", "accepted."), Finding("disk", worst, "10 GB free.")]
    monkeypatch.setattr(doctor, "examine", lambda _: findings)
    result = run("doctor")
    assert result.status == status
    lines = result.output.splitlines()
    assert lines[0] == "ok       key: accepted."
    assert lines[1].endswith("  disk: 10 GB free.")
