"""The competition's files where Kaggle has mounted them in a session.

This module imports only the standard library and modules that do, because `remote.worker` uses it
before other packages are installed.
"""

import contextlib
import os
from pathlib import Path

from kaggle_cifar import competition

INPUTS = Path("/kaggle/input")
# Where Kaggle mounts a competition below its inputs.
MOUNTS = (competition.SLUG, f"competitions/{competition.SLUG}")


def find_mounted(inputs: Path = INPUTS) -> Path | None:
    """Return the folder of the competition's files in a session on Kaggle, or None elsewhere.

    Kaggle's own package knows the folder, and has the competition mounted if it is not, without
    the internet. If the package is missing or fails, the known places below `inputs` are searched.
    """
    places = [attached_by_kagglehub(), *(inputs / mount for mount in MOUNTS)]
    return next((place for place in places if place and place.is_dir()), None)


def attached_by_kagglehub() -> Path | None:
    """Return the folder that kagglehub names; None outside of Kaggle, or if it fails."""
    if "KAGGLE_KERNEL_RUN_TYPE" not in os.environ:  # elsewhere, kagglehub would download the files
        return None
    # Which errors it raises depends on the service behind it.
    with contextlib.suppress(Exception):
        import kagglehub

        return Path(kagglehub.competition_download(competition.SLUG))
    return None
