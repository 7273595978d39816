"""The accelerators that the machine's drivers list, read without TensorFlow."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NVIDIA_FOLDER = Path("/proc/driver/nvidia")
AMD_FOLDER = Path("/sys/class/kfd/kfd/topology/nodes")
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
# Colab and Kaggle set them, empty if the session has no TPU; Google's TPU machines set the last.
TPU_VARIABLES = (
    "COLAB_TPU_1VM",
    "COLAB_TPU_ADDR",
    "ISTPUVM",
    "TPU_ACCELERATOR_TYPE",
    "TPU_NAME",
)
HIDING_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
COMMAND_TIMEOUT = 30.0  # seconds; a driver that wakes its GPU up is slow


@dataclass(frozen=True)
class NvidiaDriver:
    """NVIDIA's driver: the names of its GPUs, its version if known, and why nvidia-smi fails.

    `has_tools` is false if nvidia-smi is missing, as in a container that was given no GPU.
    """

    gpus: tuple[str, ...]
    version: str = ""
    has_tools: bool = True
    fault: str = ""


def nvidia_driver(folder: Path = NVIDIA_FOLDER) -> NvidiaDriver | None:
    """Return NVIDIA's driver, or None if there is none or it lists no GPU.

    `folder` is where the driver's kernel module shows its state. It is the host's in a container.
    """
    program = shutil.which("nvidia-smi")
    fault = ""
    if program:
        lines, fault = _ask(program)
        rows = [line.rpartition(",") for line in lines]
        if rows and not fault:
            names = tuple(name.strip() for name, _, _ in rows)
            return NvidiaDriver(names, rows[0][2].strip())
    names = tuple(_listed_models(folder))
    if not names:
        return None
    return NvidiaDriver(names, nvidia_module_version(folder), bool(program), fault)


def _ask(program: str) -> tuple[list[str], str]:
    """Return the lines "name, driver version" of nvidia-smi, and why it fails."""
    command = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=COMMAND_TIMEOUT
        )
    except (OSError, subprocess.SubprocessError) as error:
        return [], str(error)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode:
        return [], " ".join([*lines, *done.stderr.split()]) or f"status {done.returncode}"
    return lines, ""


def _listed_models(folder: Path) -> Iterator[str]:
    for file in sorted(folder.glob("gpus/*/information")):
        match = re.search(r"^Model:\s*(.+?)\s*$", _text(file), re.MULTILINE)
        yield match[1] if match else "an NVIDIA GPU"


def nvidia_module_version(folder: Path = NVIDIA_FOLDER) -> str:
    """Return the version of NVIDIA's kernel module, or "" if it is unknown."""
    match = re.search(r"\s(\d{3,}\.\d+(?:\.\d+)?)\s", _text(folder / "version"))
    return match[1] if match else ""


def has_amd_gpu(folder: Path = AMD_FOLDER) -> bool:
    """Return whether the driver of AMD's ROCm lists a GPU, which may be part of a processor."""
    properties = (_text(file) for file in folder.glob("*/properties"))
    return any(re.search(r"^simd_count [1-9]", text, re.MULTILINE) for text in properties)


def has_apple_gpu() -> bool:
    """Return whether this is a Mac whose processor has a GPU for Metal."""
    return platform.system() == "Darwin" and platform.machine() == "arm64"


def is_tpu_session() -> bool:
    """Return whether this is a session with a TPU on Kaggle, Colab or Google Cloud."""
    return any(os.environ.get(name) for name in TPU_VARIABLES)


def is_container() -> bool:
    """Return whether this process runs in a container of Docker or Podman."""
    return any(mark.exists() for mark in CONTAINER_MARKS)


def hide_gpus() -> None:
    """Hide all GPUs from this process, if it has not used them yet, and from its children."""
    os.environ.update(dict.fromkeys(HIDING_VARIABLES, "-1"))


def gpus_are_hidden() -> bool:
    """Return whether the environment hides all GPUs from this process."""
    return os.environ.get(HIDING_VARIABLES[0], "0").strip() in ("", "-1")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
