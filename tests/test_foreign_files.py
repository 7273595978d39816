"""No command changes a file that this program did not write."""

import contextlib
import os
import shutil
import signal
import stat
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from kaggle_cifar import cli, figures
from kaggle_cifar.data import synthetic
from kaggle_cifar.data.extract import extract
from kaggle_cifar.data.synthetic import draw_sample
from kaggle_cifar.errors import UserError
from kaggle_cifar.prediction import export
from tests.helpers.small_data import project_in

HANGS = 120  # seconds; a command that waits for a named pipe never ends

# Folders in which foreign files are put, and to which commands write.
PLACES = (
    "..",
    ".",
    "data",
    "data/raw",
    "data/train",
    "data/test",
    "data/cache",
    "data/inspection",
    "runs",
    "runs/model1",
    "runs/model1/export",
    "runs/new",
    "runs/search",
    "runs/model1-and-model2",
    "submissions",
    "home/Documents",
    "home/linked",
)
# Names of files that a command writes itself, or could take for its own leftovers.
NAMES = (
    "notes.txt",
    "classes.txt",
    "model.onnx",
    "saved_model",
    "report.html",
    "index.html",
    "figures/curves.png",
    "best_recipe.json",
    "results.csv",
    "trials.json",
    "classes.png",
    "inspection.json",
    "train-mine.npy",
    "train-0123456789abcdef.npy",
    ".train-x.partial",
    ".train.old/1.png",
    ".download/train.7z",
    ".sample.partial/solution.csv",
    "verified.json",
    "solution.csv",
    "train.manifest.csv",
    "train.manifest.json",
    "mine.csv",
    "mine.json",
    "model1.json",
    "model1.csv",
    "checkpoint/notes.txt",
    "tensorboard/notes.txt",
    "metrics.json",
    "history.csv",
    "summary.txt",
    "environment.json",
    ".lock",
)
# Names of a run's own files: in its folder they are not foreign.
OF_A_RUN = ("metrics", "history", "summary", "environment", "report.html", "figures/curves")

KINDS = ("file", "link", "folder", "pipe")


def run(*arguments: str) -> None:
    """Run a command in this process; it may raise only what the command line prints."""
    cli.cli.main(list(arguments), standalone_mode=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny competition with two runs."""
    folder = tmp_path_factory.mktemp("foreign") / "project"
    project = project_in(folder)
    draw_sample(project.raw, seed=5, train_count=60, test_count=40)
    extract(project)
    with contextlib.chdir(folder):
        for recipe in ("model1", "model2"):
            run("train", recipe, "--epochs", "1")
    return folder


def put(path: Path, kind: str) -> bool:
    """Put something foreign at `path` and return True, unless something is there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path):
            return False
        if kind == "file":
            path.write_text(f"mine: {path.name}")
        elif kind == "link":
            path.symlink_to(Path.cwd() / "home" / "precious.txt")
        elif kind == "folder":
            path.mkdir()
            (path / "mine.txt").write_text("mine")
        else:
            os.mkfifo(path)
    except (FileExistsError, NotADirectoryError):
        return False
    return True


def state_of(path: Path) -> tuple[int, bytes | str]:
    """Return the mode and content of a foreign path."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return mode, os.readlink(path)  # noqa: PTH115 - `Path.readlink` changes separators
    return mode, path.read_bytes() if stat.S_ISREG(mode) else b""


outputs = st.one_of(
    st.sampled_from(PLACES),
    st.tuples(st.sampled_from(PLACES), st.sampled_from((*NAMES, "new.csv", "new"))).map("/".join),
)
names = st.sampled_from(("new", "search", "model1", "model1-and-model2", "model2"))
commands = st.one_of(
    st.builds(lambda path: ("export", "model1", "--output", path), outputs),
    st.just(("export", "model1")),
    st.builds(lambda path: ("predict", "model1", "--output", path), outputs),
    st.builds(lambda path: ("predict", "model1", "--output", f"{path}.csv"), outputs),
    st.just(("predict", "model1")),
    st.just(("report", "model1", "model2")),
    st.builds(lambda path: ("sample", path), outputs),
    st.builds(lambda path: ("--data-dir", path, "extract"), outputs),
    st.builds(lambda path: ("--data-dir", path, "inspect"), outputs),
    st.builds(lambda path: ("--runs-dir", path, "report"), outputs),
    st.just(("extract",)),
    st.just(("inspect",)),
    st.builds(
        lambda path, name: ("--runs-dir", path, "train", "model1", "--epochs", "1", "--name", name),
        outputs,
        names,
    ),
    st.builds(
        lambda path, name: (
            "--runs-dir", path, "search", "--trials", "1", "--epochs", "1", "--name", name,
        ),
        outputs,
        names,
    ).filter(lambda command: command[1].startswith("data")),  # a search takes seconds
    st.builds(lambda path: ("check", path), outputs),
)  # fmt: skip
foreign = st.lists(
    st.tuples(st.sampled_from(PLACES), st.sampled_from(NAMES), st.sampled_from(KINDS)),
    min_size=1,
    max_size=12,
)


@pytest.fixture
def fast_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make samples small, and models and figures fake: only the paths of files matter here."""
    draw_files = synthetic.draw_files
    monkeypatch.setattr(
        synthetic, "draw_files", lambda folder, seed, *_: draw_files(folder, seed, 20, 20)
    )

    def write_models(_model: object, folder: Path, *_: object) -> dict[str, str]:
        (folder / "saved_model").mkdir()
        (folder / "saved_model" / "saved_model.pb").write_bytes(b"model")
        (folder / "model.onnx").write_bytes(b"model")
        return {}

    def savefig(_figure: object, target: Any, **options: Any) -> None:
        if options["format"] == "svg":
            target.write("<svg></svg>")
        else:
            mark = PngInfo()
            mark.add_text("Software", figures.GENERATOR)
            Image.new("RGB", (300, 50)).save(target, "PNG", pnginfo=mark)

    monkeypatch.setattr(export, "write_models", write_models)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", savefig)


@pytest.mark.slow
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    foreign=foreign,
    commands=st.lists(commands, min_size=1, max_size=3),
    is_changed=st.booleans(),
)
def test_commands_leave_foreign_files_unchanged(
    fast_content, project, tmp_path_factory, monkeypatch, foreign, commands, is_changed
):
    folder = tmp_path_factory.mktemp("example") / "project"
    shutil.copytree(project, folder)
    monkeypatch.chdir(folder)
    (folder / "home" / "elsewhere").mkdir(parents=True)
    (folder / "home" / "precious.txt").write_text("precious")
    (folder / "home" / "linked").symlink_to("elsewhere")
    if is_changed:  # the archive is newer: extraction wants to replace its images
        os.utime("data/raw/train.7z", (1, 1))
    paths = [folder / "home" / "precious.txt"]
    for place, name, kind in foreign:
        is_own = place == "runs/model1" and name.startswith(OF_A_RUN)
        if not is_own and put(Path(place, name), kind):
            paths.append(folder / place / name)
    before = {path: state_of(path) for path in paths}
    for command in commands:
        signal.alarm(HANGS)
        try:
            run(*command)
        except (UserError, click.ClickException, click.exceptions.Exit, SystemExit, OSError):
            pass
        finally:
            signal.alarm(0)
        after = {path: state_of(path) for path in paths if os.path.lexists(path)}
        assert after == before, command
    shutil.rmtree(folder.parent)
