"""The installation from a folder of wheels, as in a session on Kaggle without internet."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from kaggle_cifar.data.synthetic import draw_sample
from tests.helpers import ROOT

pytestmark = pytest.mark.slow

IN_THE_IMAGE = {"psutil", "typing-extensions"}  # what py7zr needs and Kaggle's image has


def closure(name: str) -> set[str]:
    """Return a package and all that it needs, without what the image has."""
    found: set[str] = set()
    queue = [name]
    while queue:
        package = queue.pop()
        if package.lower() in found | IN_THE_IMAGE:
            continue
        found.add(package.lower())
        needed = map(Requirement, metadata.requires(package) or ())
        queue += [part.name for part in needed if not part.marker or part.marker.evaluate()]
    return found


def pack_again(package: str, folder: Path) -> None:
    """Write the wheel of an installed package."""
    found = metadata.distribution(package)
    tags = re.findall(r"^Tag: (\S+)-(\S+)-(\S+)$", found.read_text("WHEEL"), re.MULTILINE)
    tag = "-".join(".".join(dict.fromkeys(part)) for part in zip(*tags, strict=True))
    name = re.sub(r"[-_.]+", "_", found.metadata["Name"])
    with zipfile.ZipFile(folder / f"{name}-{found.version}-{tag}.whl", "w") as wheel:
        for file in found.files:
            if file.parts[0] != ".." and file.suffix != ".pyc" and file.locate().is_file():
                wheel.write(file.locate(), str(file))


def image_without(packages: set[str], folder: Path) -> Path:
    """Return a folder with links to all installed packages except these."""
    absent = {
        file.parts[0] for name in packages for file in metadata.distribution(name).files or ()
    }
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if path.name not in absent:
            (folder / path.name).symlink_to(path)
    return folder


def test_wheels_install_without_internet(wheel, tmp_path):
    lacking = closure("py7zr")
    assert len(lacking) > 5
    wheels, shared = tmp_path / "wheels", tmp_path / "shared"
    for folder in (wheels, shared):
        folder.mkdir()
    for package in lacking:
        pack_again(package, wheels)
    (wheels / wheel.name).write_bytes(wheel.read_bytes())
    image_without({*lacking, "kaggle-cifar"}, shared)
    venv.create(tmp_path / "session", with_pip=False, symlinks=os.name != "nt")
    [python] = (tmp_path / "session" / "bin").glob("python")
    [site] = (tmp_path / "session").glob("lib/*/site-packages")
    (site / "shared.pth").write_text(f"{shared}\n")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    environment = {**kept, "PYTHONPATH": "", "PIP_CONFIG_FILE": os.devnull}
    run = {"cwd": tmp_path, "env": environment, "text": True, "stdout": subprocess.PIPE}
    assert subprocess.run([python, "-c", "import py7zr"], **run, stderr=-1).returncode

    install = re.search(
        r'%pip (install --quiet --no-index .*?) \\"{wheel.parent}\\" (\S+?)\\n',
        (ROOT / "notebooks" / "cifar10.ipynb").read_text(),
    )
    pip = [sys.executable, "-m", "pip", "--python", python]
    subprocess.run([*pip, *install[1].split(), wheels, install[2]], check=True, **run)
    listed = subprocess.run([*pip, "list", "--path", site, "--format=json"], check=True, **run)
    assert {part["name"].lower() for part in json.loads(listed.stdout)} == {
        *lacking,
        "kaggle-cifar",
    }

    draw_sample(tmp_path / "data" / "raw", train_count=20, test_count=10)
    command = [python.with_name("kaggle-cifar"), "extract"]
    done = subprocess.run(command, **run, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    assert len(list((tmp_path / "data" / "train").glob("*.png"))) == 20


def test_wheels_of_make_cover_what_the_image_lacks():
    makefile = (ROOT / "Makefile").read_text()
    names = re.search(r"^KAGGLE_LACKS := (.*)$", makefile, re.MULTILINE)[1].split()
    assert {"py7zr", "kaggle"} <= set(names)
    declared = {Requirement(text).name for text in metadata.requires("kaggle-cifar")}
    assert set(names) <= declared
