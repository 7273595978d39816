"""The mounted competition: by a fake kagglehub, in the known places, and as a download."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kaggle_cifar import competition
from kaggle_cifar.data import download
from kaggle_cifar.data.mounted import MOUNTS, find_mounted
from kaggle_cifar.files import ProjectPaths


@pytest.fixture
def kagglehub(monkeypatch):
    """A function that installs a fake kagglehub in what then looks like a session on Kaggle."""

    def install(competition_download: Callable[[str], Any]) -> None:
        fake = SimpleNamespace(competition_download=competition_download)
        monkeypatch.setitem(sys.modules, "kagglehub", fake)
        monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")

    return install


def fail(handle: str) -> str:
    raise OSError("no proxy")


def folder_at(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def test_kagglehub_knows_the_folder_best(tmp_path, kagglehub):
    place = folder_at(tmp_path / "mounts" / "cifar-10")
    folder_at(tmp_path / "input" / MOUNTS[0])
    kagglehub(lambda handle: str(tmp_path / "mounts" / handle))
    assert find_mounted(tmp_path / "input") == place


@pytest.mark.parametrize("broken", [fail, lambda handle: "/missing", lambda handle: None])
@pytest.mark.parametrize("mount", MOUNTS)
def test_known_places_are_searched_if_kagglehub_fails(tmp_path, kagglehub, mount, broken):
    kagglehub(broken)
    assert find_mounted(tmp_path / "input") is None
    place = folder_at(tmp_path / "input" / mount)
    assert find_mounted(tmp_path / "input") == place


def test_known_places_are_searched_without_kagglehub(tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    monkeypatch.setitem(sys.modules, "kagglehub", None)  # raises an ImportError
    place = folder_at(tmp_path / MOUNTS[1])
    assert find_mounted(tmp_path) == place


def test_kagglehub_is_not_used_elsewhere(tmp_path, kagglehub, monkeypatch):
    place = folder_at(tmp_path / "downloaded")
    kagglehub(lambda handle: str(place))
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE")
    assert find_mounted(tmp_path / "input") is None


def mount_files(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def test_download_links_mounted_files_without_credentials(
    tmp_path, clean_home, kagglehub, competition_files, project: ProjectPaths
):
    place = folder_at(tmp_path / "mounts")
    mount_files(place, competition_files)
    kagglehub(lambda handle: str(place))
    download.download(project)
    for name in competition.FILES:
        assert (project.raw / name).readlink() == place / name
    download.download(project)


def test_download_gets_the_files_that_are_not_mounted(
    tmp_path, kaggle_site, kagglehub, competition_files, project: ProjectPaths
):
    place = folder_at(tmp_path / "mounts")
    names = (competition.TRAIN_ARCHIVE, competition.TRAIN_LABELS)
    mount_files(place, {name: competition_files[name] for name in names})
    kagglehub(lambda handle: str(place))
    download.download(project)
    linked = {name for name in competition.FILES if (project.raw / name).is_symlink()}
    assert linked == set(names)
    assert {p.name for p in project.raw.iterdir()} >= set(competition.FILES)
    assert not kaggle_site.count(f"GET {competition.TRAIN_ARCHIVE}")
