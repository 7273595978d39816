"""Stand-ins for NVIDIA's driver: a program `nvidia-smi`, and the folder of the kernel module."""

import os
from pathlib import Path

VERSION = (
    "NVRM version: NVIDIA UNIX {flavor}  {version}  Release Build\n"
    "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n"
)


def write_nvidia_smi(folder: Path, lines: str, status: int = 0) -> str:
    """Write a program that prints `lines`; return a PATH that finds it first."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}\nEND\nexit {status}\n")
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def write_driver_folder(
    folder: Path, models: list[str], version: str, flavor: str = "x86_64 Kernel Module"
) -> Path:
    """Write what Linux shows in /proc/driver/nvidia."""
    for number, model in enumerate(models):
        gpu = folder / "gpus" / f"0000:0{number}:00.0"
        gpu.mkdir(parents=True)
        (gpu / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 35\n")
    (folder / "version").write_text(VERSION.format(flavor=flavor, version=version))
    return folder
