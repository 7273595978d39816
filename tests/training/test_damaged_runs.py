"""Damaged run folders: no command ends in a traceback, other runs stay visible."""

import dataclasses
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kaggle_cifar import cli, recipes
from kaggle_cifar.errors import UserError
from kaggle_cifar.fields import DamagedFileError
from kaggle_cifar.files import ProjectPaths, write_json
from kaggle_cifar.remote.sessions import remote_runs
from kaggle_cifar.report.reading import read_run
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import METRICS, Run
from kaggle_cifar.training.run_summary import read_run_summary
from kaggle_cifar.training.train import train
from tests.helpers.small_data import project_in, write_test_data, write_training_data
from tests.helpers.small_runs import write_run

pytestmark = pytest.mark.slow

FILES = ("metrics.json", "history.csv", "run.json", "environment.json")
ODD_JSON = (
    "null", "true", "[]", "[1, [2]]", "{}", '{"a": {}}', '""', '"text"', '"two\\nlines"',
    '"\\ud800"', "NaN", "Infinity", "-Infinity", "-1", "0", "0.5", "1e308", "9" * 400,
    "[" * 900 + "]" * 900,
)  # fmt: skip
ODD_CELLS = ("", "text", "nan", "inf", "-1", "0.5", "1e308", "9" * 400, '"', "\0", "[1]")


# A damage is a function that changes the folder of a run.


@dataclasses.dataclass(frozen=True)
class OddJson:
    """Replaces or deletes one value of a JSON file; `place` counts over all values."""

    file: str
    place: int
    text: str | None

    def __call__(self, folder: Path) -> None:
        content = json.loads((folder / self.file).read_text())
        parent, key = list(places(content))[self.place % len(list(places(content)))]
        if self.text is None:
            del parent[key]
        else:
            parent[key] = "@here@"
        text = json.dumps(content).replace('"@here@"', self.text or "")
        (folder / self.file).write_text(text)


def places(content):
    """Yield each object in the content, and each key in it."""
    for key, value in content.items():
        yield content, key
        if isinstance(value, dict):
            yield from places(value)


@dataclasses.dataclass(frozen=True)
class OddCell:
    """Replaces one cell of history.csv, which may be in the header."""

    row: int
    column: int
    text: str

    def __call__(self, folder: Path) -> None:
        lines = [line.split(",") for line in (folder / "history.csv").read_text().splitlines()]
        row = lines[self.row % len(lines)]
        row[self.column % len(row)] = self.text
        (folder / "history.csv").write_text("\n".join(map(",".join, lines)) + "\n")


@dataclasses.dataclass(frozen=True)
class OddFile:
    """Replaces a file by something else, or deletes it."""

    file: str
    kind: str
    content: bytes = b""

    def __call__(self, folder: Path) -> None:
        path = folder / self.file
        path.unlink()
        if self.kind == "folder":
            path.mkdir()
        elif self.kind == "link":
            path.symlink_to("nowhere")
        elif self.kind == "pipe":
            os.mkfifo(path)
        elif self.kind == "file":
            path.write_bytes(self.content)


numbers = st.integers(0, 100)
damages = st.one_of(
    st.builds(
        OddJson,
        st.sampled_from([file for file in FILES if file.endswith(".json")]),
        numbers,
        st.sampled_from([None, *ODD_JSON]),
    ),
    st.builds(OddCell, numbers, numbers, st.sampled_from(ODD_CELLS)),
    st.builds(OddFile, st.sampled_from(FILES), st.sampled_from(["gone", "folder", "link", "pipe"])),
    st.builds(
        OddFile,
        st.sampled_from(FILES),
        st.just("file"),
        st.one_of(st.binary(max_size=30), st.sampled_from([text.encode() for text in ODD_JSON])),
    ),
)


def run_command(project, *words) -> str:
    """Run a command in this process and return its output; it must not raise a traceback."""
    folders = ("--data-dir", project.data, "--runs-dir", project.runs)
    folders += ("--submissions-dir", project.submissions)
    result = CliRunner().invoke(cli.cli, [str(word) for word in (*folders, *words)])
    error = result.exception
    if not isinstance(error, SystemExit | UserError | None):
        assert isinstance(error, OSError) and error.filename, repr(error)  # `main` shows it
    if isinstance(error, SystemExit):
        assert error.code in (0, 1, 2)
    return result.output


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """Two finished runs without weights."""
    project = project_in(tmp_path_factory.mktemp("described"))
    write_training_data(project, 60)
    write_run(project, "whole")
    write_run(project, "damaged", seed=1)
    return project


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trained run of one short epoch."""
    project = project_in(tmp_path_factory.mktemp("trained"))
    write_training_data(project, 20)
    write_test_data(project, range(1, 4))
    recipe = dataclasses.replace(recipes.model1(), epochs=1)
    train(project, recipe, "damaged", RunOptions())
    return project


def damaged_copy(project: ProjectPaths, folder: str | Path, damages) -> ProjectPaths:
    """Return a project with a copy of the runs, one of them damaged."""
    runs = Path(folder) / "runs"
    shutil.copytree(project.runs, runs)
    for damage in damages:
        damage(runs / "damaged")
    return dataclasses.replace(project, runs=runs, submissions=Path(folder) / "submissions")


@given(damages)
@settings(max_examples=40)
@example(OddJson("metrics.json", 8, '"text"'))
@example(OddJson("run.json", 1, '"\\ud800"'))
@example(OddCell(2, 0, "text"))
def test_damaged_file_hides_no_other_run(described, damage):
    with tempfile.TemporaryDirectory() as folder:
        project = damaged_copy(described, folder, [damage])
        lines = run_command(project, "runs").splitlines()
        assert any(line.startswith("whole ") and line.endswith("309,290") for line in lines)
        assert (project.runs / "damaged" / "run.json").exists() == any(
            line.startswith("damaged ") for line in lines
        )


@given(damages)
@settings(max_examples=6)
@example(OddJson("metrics.json", 8, '"text"'))
@example(OddJson("environment.json", 3, '[null, {"a": 1}]'))
@example(OddCell(0, 4, "text"))
@example(OddCell(1, 5, "nan"))
def test_damaged_run_stops_no_report(described, damage):
    with tempfile.TemporaryDirectory() as folder:
        project = damaged_copy(described, folder, [damage])
        damaged = project.runs / "damaged"
        (damaged / "validation_probabilities.npy").unlink()  # its figures take seconds
        there = (damaged / "run.json").exists()
        run_command(project, "report", "damaged" if there else "whole")
        assert "whole" in (project.runs / "index.html").read_text()
        assert (damaged / "report.html").exists() == there


@given(damages)
@settings(max_examples=100)
def test_values_read_of_a_damaged_run_are_valid(described, damage):
    with tempfile.TemporaryDirectory() as folder:
        project = damaged_copy(described, folder, [damage])
        run = Run(project.runs / "damaged")
        found = read_run(project, run)
        for row, number in zip(found.history, range(1, 100), strict=False):
            assert row["epoch"] == number
        for value in (found.metrics[key] for key in METRICS.keys() & found.metrics.keys()):
            assert isinstance(value, int | float | str) and value == value
        json.dumps([found.recipe, found.options, found.environment]).encode()


COMMANDS = (
    ("predict", "damaged"),
    ("classify", "{image}", "--run", "damaged"),
    ("export", "damaged"),
    ("train", "model1", "--epochs", "1", "--name", "damaged"),
    ("train", "model1", "--epochs", "1", "--name", "damaged", "--tensorboard"),
)
FATAL = (  # for commands that need the file
    OddFile("run.json", "gone"),
    OddFile("run.json", "folder"),
    OddFile("run.json", "file", b"[" * 900 + b"]" * 900),
    OddJson("run.json", 0, "null"),
    OddJson("run.json", 1, '"../model1"'),
    OddJson("run.json", 2, "[]"),
    OddJson("run.json", 2, '"model2"'),
    OddJson("run.json", 4, "NaN"),
    OddJson("run.json", 5, "9" * 400),
    OddJson("run.json", 7, '{"widths": [3]}'),
    OddJson("run.json", 9, "{}"),
)
HARMLESS = (
    OddFile("metrics.json", "file", b"null"),
    OddFile("history.csv", "folder"),
    OddCell(1, 6, ""),
    OddFile("environment.json", "pipe"),
)
RESUMABLE = (OddFile("environment.json", "gone"), OddFile("environment.json", "pipe"))


@pytest.mark.parametrize(
    ("command", "damage"),
    [(command, damage) for command in COMMANDS[:4] for damage in FATAL]
    + [(command, damage) for command in COMMANDS if "export" not in command for damage in HARMLESS],
    ids=str,
)
def test_damaged_run_causes_no_traceback(trained, tmp_path, command, damage):
    project = damaged_copy(trained, tmp_path, [damage])
    image = project.images("train") / "1.png"
    run_command(project, *(word.format(image=image) for word in command))


@given(damages)
@settings(max_examples=5)
def test_random_damage_causes_no_traceback(trained, damage):
    with tempfile.TemporaryDirectory() as folder:
        project = damaged_copy(trained, folder, [damage])
        image = project.images("train") / "1.png"
        for command in COMMANDS[:2] + COMMANDS[3:]:
            run_command(project, *(word.format(image=image) for word in command))


def test_unfinished_damaged_run_is_resumed_or_refused(trained, tmp_path):
    """The run was killed before its first checkpoint. Training reads no environment.json."""
    for number, damage in enumerate([*FATAL, *RESUMABLE]):
        project = damaged_copy(trained, tmp_path / str(number), [])
        run = Run(project.runs / "damaged")
        for path in run.folder.iterdir():
            if path not in (run.description_file, run.environment_file):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        damage(run.folder)
        run_command(project, *COMMANDS[3])
        assert run.finished == (damage in RESUMABLE)


# What is reported


@pytest.mark.parametrize(
    ("damage", "part", "readable"),
    [
        (OddJson("metrics.json", 8, '"text"'), "validation_accuracy", "parameters"),
        (OddJson("metrics.json", 2, None), "parameters is missing", "validation_accuracy"),
        (OddFile("metrics.json", "file", b"3"), "must be an object", None),
    ],
)
def test_damaged_metric_is_named_and_others_are_read(described, tmp_path, damage, part, readable):
    run = Run(damaged_copy(described, tmp_path, [damage]).runs / "damaged")
    with pytest.raises(DamagedFileError, match=part) as caught:
        run.read_metrics()
    assert caught.value.path == run.metrics_file
    assert read_run_summary(run).metrics == caught.value.readable
    assert readable is None or readable in caught.value.readable


def test_missing_accuracy_is_reported(described, tmp_path):
    project = damaged_copy(described, tmp_path, [OddJson("metrics.json", 8, None)])
    assert "trained on all" not in run_command(project, "runs")
    assert str(project.runs / "damaged" / "metrics.json") in run_command(project, "runs")


def test_rows_before_a_damaged_one_are_read(described, tmp_path):
    run = Run(damaged_copy(described, tmp_path, [OddCell(3, 0, "x")]).runs / "damaged")
    assert [row["epoch"] for row in read_run_summary(run).history] == [1, 2]
    run = Run(damaged_copy(described, tmp_path / "2", [OddCell(3, 1, "x")]).runs / "damaged")
    history = read_run_summary(run).history
    assert [row["loss"] for row in history] == [2.0, 1.0, None, 0.5]


def test_damaged_session_hides_no_run(described, tmp_path):
    project = damaged_copy(described, tmp_path, [])
    write_json(remote_runs(project) / "far" / "session.json", {"kernel": 3})
    printed = run_command(project, "runs")
    assert "whole" in printed and "session.json" in printed
