"""Checks of this machine and the user's Kaggle account."""

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from kaggle_cifar import competition, files
from kaggle_cifar.devices.gpus import require_usable_devices, visible_gpus
from kaggle_cifar.devices.probe import renew_probe, xla_fault
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
from kaggle_cifar.tensorflow_setup import (
    LIBRARIES,
    describe_devices,
    dtype_policy,
    start_tensorflow,
)

# Archives 0.7 GB, PNGs 1.4 GB in blocks of 4 kB, decoded cache 1.1 GB.
DISK_NEEDED = 3.2e9  # bytes
MEMORY_NEEDED = 4e9  # bytes, for TensorFlow and the full test set

PACKAGES = ("kaggle", "py7zr")  # which cannot be imported without effects


@dataclass(frozen=True)
class Finding:
    """The result of a check; a "problem" prevents a command from working."""

    name: str
    status: Literal["ok", "warning", "problem"]
    detail: str


def examine(project: ProjectPaths) -> list[Finding]:
    """Check credentials, Kaggle, disk, memory, devices and versions."""
    return [
        *examine_kaggle(),
        examine_disk(project),
        examine_memory(),
        *examine_devices(),
        *examine_versions(),
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
            "no GPU hours for `kaggle-cifar train --on kaggle`. Verify your phone at "
            f"{SETTINGS_PAGE}.",
        )
    until = f" until {quota.refresh:%Y-%m-%d %H:%M} UTC" if quota.refresh else ""
    hours = f"{quota.left / 3600:.1f} of {quota.total / 3600:.1f} hours left{until}"
    if quota.left < LEAST_SESSION:
        return Finding(name, "warning", f"{hours}, too few for `kaggle-cifar train --on kaggle`.")
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


def examine_devices() -> Iterator[Finding]:
    """Check what TensorFlow computes on, in which precision, and whether XLA works there.

    The check of the GPUs in another process runs again, because the user may have mended them.
    """
    try:
        start_tensorflow()
        if visible_gpus():
            renew_probe()
        require_usable_devices()
    except UserError as error:
        yield Finding("devices", "problem", str(error))
        return
    yield Finding("devices", "ok", f"{describe_devices(len(visible_gpus()))}.")
    yield examine_precision()
    yield from examine_xla()


def examine_precision() -> Finding:
    """Report whether mixed precision is faster on the devices, and its type."""
    name, kind = "mixed precision", dtype_policy("always").removeprefix("mixed_")
    if dtype_policy("where faster") == "float32":
        return Finding(name, "ok", f"no, {kind} is not faster than float32 here.")
    return Finding(name, "ok", f"yes, in {kind}.")


def examine_xla() -> Iterator[Finding]:
    """Report whether XLA works on the devices, and how GELU is computed."""
    if fault := xla_fault():
        slower = "The airbench recipes train without it, which is slower."
        yield Finding("xla", "warning", f"no: {fault}. {slower}")
        yield Finding("gelu", "ok", "by TensorFlow's operations, because XLA fails.")
        return
    only = "" if visible_gpus() else ", but training steps are faster without it on a CPU"
    yield Finding("xla", "ok", f"yes{only}.")
    yield Finding("gelu", "ok", "compiled by XLA.")


def examine_versions() -> Iterator[Finding]:
    """Report the versions of Python and the main packages."""
    where = f"{platform.system()} {platform.machine()}, {Path(sys.executable).name}"
    yield Finding("python", "ok", f"{platform.python_version()} ({where})")
    for name in LIBRARIES:
        if module := sys.modules.get(name):  # unless TensorFlow could not start
            yield Finding(name, "ok", module.__version__)
    for package in PACKAGES:
        try:
            yield Finding(package, "ok", metadata.version(package))
        except metadata.PackageNotFoundError:
            yield Finding(package, "problem", f"not installed. Run `pip install {package}`.")
