"""The wheel of the package, and an environment in which it is installed."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from tests.helpers import ROOT


def build_wheel(folder: Path) -> Path:
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True)
    (built,) = folder.glob("*.whl")
    return built


def install_wheel(wheel: Path, folder: Path) -> Path:
    """Create an environment that shares the packages of this one, not the sources.

    Returns the folder of its commands.
    """
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    install = ["install", "--no-deps", "--no-index", str(wheel)]
    pip = [sys.executable, "-m", "pip", "--python", str(next(scripts.glob("python*")))]
    subprocess.run([*pip, *install], check=True)
    (packages,) = {path.parent for path in folder.rglob("kaggle_cifar") if path.is_dir()}
    # Python follows no .pth file of a folder that is added by one: the editable install stays out.
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return scripts
