"""The commands that check and submit a CSV."""

import gzip
import importlib
import os

import pytest

submit_module = importlib.import_module("kaggle_cifar.submission.submit")


@pytest.mark.parametrize("command", ["check", "submit"])
def test_file_that_is_no_csv_is_one_line(run, tmp_path, command):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "packed.csv").write_bytes(gzip.compress(os.urandom(5_000)))
    for name, kind in (("pipe.csv", "a named pipe"), ("packed.csv", "a gzip file")):
        result = run("--data-dir", tmp_path, command, tmp_path / name)
        assert result.status == 1
        assert result.output == ""
        assert result.errors.startswith(f"Error: {tmp_path / name} is {kind}")
        assert result.errors.count("\n") == 1


def test_check_prints_warnings_and_faults(run, csv, project):
    command = ("--data-dir", project.data, "check", csv)
    assert "valid submission" in run(*command).output
    lines = csv.read_text().splitlines()
    csv.write_text("\n".join([lines[0], *(f"{line.partition(',')[0]},cat" for line in lines[1:])]))
    assert "Warning: " in run(*command).output
    csv.write_text("\n".join(lines[:-1]))
    result = run(*command)
    assert result.status == 1
    assert f"Kaggle would reject {csv}" in result.errors
    assert str(project.raw / "sampleSubmission.csv") in result.errors


@pytest.mark.parametrize("options", [[], ["--again"], ["--wait"]])
def test_options_reach_the_submission(run, monkeypatch, options):
    calls = []
    monkeypatch.setattr(
        submit_module, "submit", lambda *arguments, again: calls.append((arguments[-1], again))
    )
    run("submit", "s.csv", *options)
    assert calls == [(600.0 if options == ["--wait"] else None, options == ["--again"])]
