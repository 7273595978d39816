"""What this machine and this Kaggle account can do, told before anything fails."""

import os
import platform
import shutil
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

# Archives 0.7 GB, PNGs 1.4 GB in blocks of 4 kB, decoded cache 1.1 GB.
DISK_NEEDED = 3.2e9  # bytes
MEMORY_NEEDED = 4e9  # bytes: TensorFlow, and 2 GiB for the full test set

PACKAGES = ("tensorflow", "keras", "numpy", "kaggle", "py7zr")

SMALL_COMMAND = 10.0  # seconds
TENSORFLOW_START = 120.0  # seconds; on a slow disk its import takes long
COUNT_GPUS = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"


@dataclass(frozen=True)
class Finding:
    """One line of the examination; a "problem" keeps a command from working."""

    name: str
    status: Literal["ok", "warning", "problem"]
    detail: str


def examine(project: ProjectPaths) -> list[Finding]:
    """Return the findings on credentials, Kaggle, disk, memory, GPU and versions."""
    return [
        *examine_kaggle(),
        examine_disk(project),
        examine_memory(),
        examine_gpu(),
        *examine_versions(),
    ]


def examine_kaggle() -> Iterator[Finding]:
    """Yield the findings on credentials, the key and the rules, as far as each allows the next."""
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
    yield Finding("key", "ok", "Kaggle accepts it.")
    yield examine_rules(api)
    yield examine_gpu_quota(api)


def examine_credentials(credentials: Credentials) -> Finding:
    """Tell which credentials are used, and whether others can read them; never their value."""
    found = f"{credentials.kind} from {credentials.place}"
    if credentials.readable_by_others:
        return Finding("credentials", "warning", f"{found}; {readable_by_others(credentials)}")
    return Finding("credentials", "ok", f"{found}.")


def examine_rules(api: Any) -> Finding:
    """Tell whether Kaggle hands out a file, which it does once the rules are accepted."""
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
    """Tell the GPU hours left on Kaggle, and whether the account may use them at all.

    Kaggle does not tell whether a phone is verified; without one, there are no GPU hours.
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
            f"this account has no GPU hours. Verify its phone at {SETTINGS_PAGE}; `train --on "
            "kaggle` needs that.",
        )
    until = f" until {quota.refresh:%Y-%m-%d %H:%M} UTC" if quota.refresh else ""
    hours = f"{quota.left / 3600:.1f} of {quota.total / 3600:.1f} hours left{until}"
    if quota.left < LEAST_SESSION:
        return Finding(name, "warning", f"{hours}; too little for `train --on kaggle`.")
    if not quota.has_ever_run:
        return Finding(
            name, "ok", f"{hours}; never used: it takes a phone verified at {SETTINGS_PAGE}."
        )
    return Finding(name, "ok", f"{hours}; the account has used them before.")


def examine_disk(project: ProjectPaths) -> Finding:
    """Tell whether the whole competition fits on the disk."""
    folder = files.existing_parent(project.data)
    free = shutil.disk_usage(folder).free
    detail = (
        f"{free / 1e9:,.1f} GB are free at {folder}; the full data needs {DISK_NEEDED / 1e9} GB"
    )
    if not os.access(folder, os.W_OK):
        return Finding("disk", "problem", f"{folder} cannot be written; see --data-dir.")
    if free < DISK_NEEDED and not has_images(project):
        return Finding("disk", "warning", f"{detail}. Free some, or choose --data-dir.")
    return Finding("disk", "ok", f"{detail}.")


def has_images(project: ProjectPaths) -> bool:
    """Whether the data lies there already."""
    return project.manifest("train").exists() and project.manifest("test").exists()


def examine_memory() -> Finding:
    """Tell whether the memory suffices."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return Finding("memory", "ok", "this system does not tell its size.")
    detail = f"{memory / 1e9:,.1f} GB, {os.cpu_count()} CPU cores"
    if memory < MEMORY_NEEDED:
        return Finding("memory", "warning", f"{detail}; {MEMORY_NEEDED / 1e9:.0f} GB are needed.")
    return Finding("memory", "ok", f"{detail}.")


def examine_gpu() -> Finding:
    """Tell whether there is a GPU and TensorFlow sees it, which is loaded in another process."""
    names = output_of("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    if not names:
        return Finding("gpu", "ok", "no NVIDIA GPU found; training runs on the CPU.")
    listed = ", ".join(names.splitlines())
    count = output_of(sys.executable, "-c", COUNT_GPUS, seconds=TENSORFLOW_START)
    if count.isdigit() and int(count):
        return Finding("gpu", "ok", f"{listed}; TensorFlow uses {count}.")
    return Finding(
        "gpu",
        "warning",
        f"{listed}, which TensorFlow does not see; training runs on the CPU. "
        'Install its libraries: make gpu (or pip install "tensorflow[and-cuda]").',
    )


def output_of(*command: str, seconds: float = SMALL_COMMAND) -> str:
    """Return what a command prints, or nothing when it is not there, fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def examine_versions() -> Iterator[Finding]:
    """Yield the version of Python and of each package that matters."""
    where = f"{platform.system()} {platform.machine()}, {Path(sys.executable).name}"
    yield Finding("python", "ok", f"{platform.python_version()} ({where})")
    for package in PACKAGES:
        try:
            yield Finding(package, "ok", metadata.version(package))
        except metadata.PackageNotFoundError:
            yield Finding(package, "problem", f"is not installed: pip install {package}")
