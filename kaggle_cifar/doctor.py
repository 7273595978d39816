"""Checks of this machine and the user's Kaggle account."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from kaggle_cifar import competition, files
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.kaggle.client import call, open_client
from kaggle_cifar.kaggle.credentials import (
    SETTINGS_PAGE,
    Credentials,
    readable_by_others,
    require_credentials,
)
from kaggle_cifar.kaggle.signed_links import signed_link
from kaggle_cifar.remote.push import LEAST_SESSION, gpu_quota
from kaggle_cifar.tensorflow_setup import TensorFlowImportError, inspect_tensorflow

# Archives 0.7 GB, PNGs 1.4 GB in blocks of 4 kB, decoded cache 1.1 GB.
DISK_NEEDED = 3.2e9  # bytes
MEMORY_NEEDED = 4e9  # bytes, for TensorFlow and the full test set

PACKAGES = ("kaggle", "py7zr")  # which are called like their modules

ON_CPU = "training runs on the CPU"
NO_GPU = {"Darwin": "TensorFlow has no GPU support for macOS"}  # by the system's name
WSL2_PAGE = "https://www.tensorflow.org/install/pip#windows-wsl2"

COMMAND_TIMEOUT = 10.0  # seconds


@dataclass(frozen=True)
class Finding:
    """The result of a check; a "problem" prevents a command from working."""

    name: str
    status: Literal["ok", "warning", "problem"]
    detail: str


def examine(project: ProjectPaths) -> list[Finding]:
    """Check credentials, Kaggle, disk, memory, versions and GPU."""
    return [
        *examine_kaggle(),
        examine_disk(project),
        examine_memory(),
        examine_python(),
        *examine_tensorflow(),
        *examine_packages(),
    ]


def examine_kaggle() -> Iterator[Finding]:
    """Check the credentials, the key, the rules and the GPU quota, up to the first failure."""
    try:
        credentials = require_credentials()
    except UserError as error:
        yield Finding("credentials", "problem", str(error))
        return
    yield examine_credentials(credentials)
    try:
        api = open_client()
        call(api.competition_list_files, competition.SLUG, doing="Listing the competition's files")
    except UserError as error:
        yield Finding("key", "problem", str(error))
        return
    yield Finding("key", "ok", "accepted by Kaggle.")
    yield examine_rules(api)
    yield examine_gpu_quota(api)


def examine_credentials(credentials: Credentials) -> Finding:
    """Check that only the user can read the credentials; never include their value."""
    found = f"{credentials.kind} from {credentials.place}"
    if credentials.readable_by_others:
        return Finding("credentials", "warning", f"{found}; {readable_by_others(credentials)}")
    return Finding("credentials", "ok", f"{found}.")


def examine_rules(api: Any) -> Finding:
    """Check that Kaggle serves a file, which it does once the rules are accepted."""
    try:
        call(
            signed_link,
            api,
            competition.SAMPLE_SUBMISSION,
            doing=f"Asking for {competition.SAMPLE_SUBMISSION}",
        )
    except UserError as error:
        return Finding("rules", "problem", str(error))
    return Finding("rules", "ok", f"accepted for {competition.SLUG}.")


def examine_gpu_quota(api: Any) -> Finding:
    """Check the GPU hours left on Kaggle.

    Kaggle does not report whether a phone is verified. Without one, there are no GPU hours.
    """
    name = "kaggle gpu"
    try:
        quota = gpu_quota(api)
    except UserError as error:
        return Finding(name, "warning", str(error))
    if quota is None or not quota.total:
        return Finding(
            name,
            "warning",
            f"no GPU hours for `train --on kaggle`. Verify your phone at {SETTINGS_PAGE}.",
        )
    until = f" until {quota.refresh:%Y-%m-%d %H:%M} UTC" if quota.refresh else ""
    hours = f"{quota.left / 3600:.1f} of {quota.total / 3600:.1f} hours left{until}"
    if quota.left < LEAST_SESSION:
        return Finding(name, "warning", f"{hours}, too few for `train --on kaggle`.")
    if not quota.has_ever_run:
        return Finding(
            name, "ok", f"{hours}, never used. They need a phone verified at {SETTINGS_PAGE}."
        )
    return Finding(name, "ok", f"{hours}.")


def examine_disk(project: ProjectPaths) -> Finding:
    """Check that the disk has room for the whole competition."""
    folder = files.existing_parent(project.data)
    free = files.free_space(folder)
    detail = f"{free / 1e9:,.1f} GB free at {folder}, {DISK_NEEDED / 1e9} GB needed"
    if not os.access(folder, os.W_OK):
        return Finding("disk", "problem", f"{folder} is not writable. Choose another --data-dir.")
    if free < DISK_NEEDED and not has_images(project):
        return Finding(
            "disk", "warning", f"{detail}. Free some space or choose another --data-dir."
        )
    return Finding("disk", "ok", f"{detail}.")


def has_images(project: ProjectPaths) -> bool:
    """Return whether both splits are extracted already."""
    return project.manifest("train").exists() and project.manifest("test").exists()


def examine_memory() -> Finding:
    """Check the size of the memory."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return Finding("memory", "ok", "unknown on this system.")
    detail = f"{memory / 1e9:,.1f} GB, {os.cpu_count()} CPU cores"
    if memory < MEMORY_NEEDED:
        return Finding("memory", "warning", f"{detail}; {MEMORY_NEEDED / 1e9:.0f} GB needed.")
    return Finding("memory", "ok", f"{detail}.")


def examine_python() -> Finding:
    """Report the version of Python and the system that it runs on."""
    where = f"{platform.system()} {platform.machine()}, {Path(sys.executable).name}"
    return Finding("python", "ok", f"{platform.python_version()} ({where})")


def examine_tensorflow() -> Iterator[Finding]:
    """Check that TensorFlow can be imported; report versions and the GPUs that it finds."""
    try:
        found = inspect_tensorflow()
    except TensorFlowImportError as error:
        yield Finding("tensorflow", "problem", str(error))
        return
    for library, version in found.versions.items():
        yield Finding(library, "ok", version)
    yield examine_gpu(found.gpus)


def examine_gpu(count: int) -> Finding:
    """Check that TensorFlow, which finds `count` GPUs, finds those of NVIDIA in this machine."""
    names = output_of("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    listed = ", ".join(names.splitlines())
    if count:
        return Finding("gpu", "ok", f"{listed or 'not from NVIDIA'}; TensorFlow finds {count}.")
    if not listed:
        none = NO_GPU.get(platform.system(), "none from NVIDIA")
        return Finding("gpu", "ok", f"{none}; {ON_CPU}.")
    advice = 'Run make gpu or pip install "tensorflow[and-cuda]".'
    if platform.system() == "Windows":
        advice = f"TensorFlow uses GPUs in WSL2, but not in Windows itself. See {WSL2_PAGE}"
    return Finding("gpu", "warning", f"{listed}; TensorFlow finds none, so {ON_CPU}. {advice}")


def output_of(*command: str) -> str:
    """Return the output of a command, or "" if it is missing, fails or takes too long."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def examine_packages() -> Iterator[Finding]:
    """Report the versions of packages that cannot be imported without effects."""
    for package in PACKAGES:
        try:
            yield Finding(package, "ok", metadata.version(package))
        except metadata.PackageNotFoundError:
            yield Finding(package, "problem", f"not installed. Run pip install {package}.")
