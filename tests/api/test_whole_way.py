"""The whole way by the API alone, and the same files as by the command line."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import kaggle_cifar as kc
from kaggle_cifar.data import synthetic
from kaggle_cifar.files import BusyError
from tests.api.conftest import small_sample
from tests.helpers.processes import run_command

pytestmark = pytest.mark.slow


def test_whole_way_takes_ten_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(synthetic, "draw_sample", small_sample)
    # The lines of a user.
    kc.sample("data/raw")
    kc.extract()
    print(kc.inspect())
    run = kc.train("model1", epochs=2)
    other = kc.train("model1", epochs=2, seed=1)
    run.plot_curves()
    run.report()
    submission = kc.predict(run, other, tta=True)
    print(submission.check(), submission.score("data/raw/solution.csv"))
    print(kc.runs())
    # What they made.
    assert Path("submissions/model1+model1-seed1-tta.csv").exists()
    assert Path("runs/model1/report.html").exists()
    assert list(kc.runs().index) == ["model1", "model1-seed1"]


def without_times(folder: Path) -> dict[str, object]:
    """Return the content of a run's files, without what depends on the clock."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or path.name == ".kaggle-cifar.lock":
            continue
        if name == "history.csv":
            found[name] = pd.read_csv(path).drop(columns="seconds").to_csv()
        elif name == "metrics.json":
            found[name] = json.loads(path.read_text()) | {"seconds": 0}
        else:
            found[name] = path.read_bytes()
    return found


def test_run_folder_is_that_of_the_command_line(sample):
    done = run_command(
        "train", "model1", "--epochs", 2, "--seed", 3, "--set", "batch_size=64", "--name", "same"
    )
    assert done.returncode == 0, done.stderr
    shutil.move("runs/same", "by-command")
    run = kc.train("model1", epochs=2, seed=3, changes={"batch_size": 64}, name="same")
    by_api, by_command = without_times(run.folder), without_times(Path("by-command"))
    assert by_api.keys() == by_command.keys()
    assert [name for name in by_api if by_api[name] != by_command[name]] == []
    assert {"run.json", "model.weights.h5", "metrics.json"} <= by_api.keys()


def test_second_training_of_a_run_is_busy(sample):
    def train_again(row):
        kc.train("model1", epochs=3, name="busy")

    with pytest.raises(BusyError):
        kc.train("model1", epochs=3, name="busy", on_epoch=train_again)
    assert not kc.find_run("busy").finished
    assert len(kc.find_run("busy").history) == 1
    assert kc.train("model1", epochs=3, name="busy").metrics["epochs"] == 3
