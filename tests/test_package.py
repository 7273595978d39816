"""The wheel, installed in an environment without the repository."""

import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.helpers import ROOT

pytestmark = pytest.mark.slow


def test_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"kaggle_cifar"}
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "kaggle_cifar").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {name for name in names if ".dist-info/" not in name} == sources
    assert "kaggle_cifar/py.typed" in names


def test_wheel_runs_the_steps_of_make_demo(wheel_scripts, tmp_path):
    makefile = (ROOT / "Makefile").read_text()
    steps = re.findall(r"^\t\$\(DEMO\) (.*)$", makefile, re.MULTILINE)
    assert len(steps) >= 6
    folders = re.search(r"^DEMO := \$\(CLI\) (.*)$", makefile, re.MULTILINE)[1].split()
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    show = [wheel_scripts / "python", "-c", "import kaggle_cifar; print(kaggle_cifar.__file__)"]
    shown = subprocess.run(show, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert Path(shown.stdout.strip()).is_relative_to(wheel_scripts.parent)
    for step in steps:
        arguments = step.replace("$(DEMO_EPOCHS)", "1 --limit 200").split()
        done = subprocess.run(
            [wheel_scripts / "kaggle-cifar", *folders, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "demo" / "runs" / "model3-tuned" / "report.html").exists()
    assert (tmp_path / "demo" / "submissions" / "model3-tuned.csv").exists()
