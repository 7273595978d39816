"""The machine and the competition's data: doctor, download, extract, sample, inspect."""

import html
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kaggle_cifar.advice import worded
from kaggle_cifar.api.arguments import require_flags, require_type
from kaggle_cifar.api.display import html_image, html_table, without_traceback
from kaggle_cifar.api.folders import current_project
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.recipes import require_one_of

if TYPE_CHECKING:
    from kaggle_cifar.data.inspection import Inspection
    from kaggle_cifar.doctor import Finding

MARKS = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}
SOURCES = ("kaggle", "keras")


@dataclass(frozen=True)
class Diagnosis:
    """The findings of `doctor`."""

    findings: tuple["Finding", ...]

    @property
    def problems(self) -> list["Finding"]:
        """The findings that prevent a command from working."""
        return [finding for finding in self.findings if finding.status == "problem"]

    def __iter__(self) -> Iterator["Finding"]:
        return iter(self.findings)

    def __repr__(self) -> str:
        return "\n".join(
            f"{MARKS[finding.status]}  {finding.name}: {worded(finding.detail)}"
            for finding in self.findings
        )

    def _repr_html_(self) -> str:
        rows = [(finding.status, finding.name, worded(finding.detail)) for finding in self.findings]
        return html_table(rows, ("status", "check", "finding"))


@without_traceback
def doctor() -> Diagnosis:
    """Check this machine and your Kaggle account.

    Returns
    -------
    Diagnosis
        A finding for the credentials, the competition's rules, the GPU hours on Kaggle, the disk,
        the memory, the devices, the precision, XLA and each version. A notebook shows a table.

    Examples
    --------
    >>> import kaggle_cifar as kc
    >>> [finding.name for finding in kc.doctor().problems]
    []
    """
    return examine(current_project())


def examine(project: ProjectPaths) -> Diagnosis:
    """Return the findings about this machine and the user's account."""
    from kaggle_cifar.doctor import examine

    return Diagnosis(tuple(examine(project)))


@without_traceback
def download(source: Literal["kaggle", "keras"] = "kaggle", *, extract: bool = True) -> None:
    """Download, verify and extract the competition's files.

    Interrupted downloads resume, and verified files are not downloaded again.

    Parameters
    ----------
    source
        "kaggle", or "keras" for the public CIFAR-10, which needs no account. Predictions for that
        cannot be submitted.
    extract
        Whether to extract the archives.

    Raises
    ------
    UserError
        If Kaggle refuses or cannot be reached, a file is damaged, or the disk is full.

    Examples
    --------
    >>> import kaggle_cifar as kc
    >>> kc.download()
    """
    require_type("source", source, str, " or ".join(SOURCES))
    require_one_of("source", source, SOURCES)
    require_flags(extract=extract)
    download_files(current_project(), source, extract)


def download_files(project: ProjectPaths, source: str, extract: bool) -> None:
    """Download the files of a source; with `extract`, extract Kaggle's archives."""
    from kaggle_cifar.data.download import download
    from kaggle_cifar.data.extract import extract as extract_archives
    from kaggle_cifar.data.extract import extract_split
    from kaggle_cifar.data.keras_cifar10 import download_from_keras

    if source == "keras":
        download_from_keras(project)
        return
    if not extract:
        download(project)
        return
    extracted: list[str] = []

    def extract_and_note(archive: Path, split: str) -> bool:
        is_new = extract_split(project, archive, split)
        extracted.extend([split] * is_new)
        return is_new

    download(project, extract=extract_and_note)
    extract_archives(project, just_extracted=extracted)


@without_traceback
def extract() -> None:
    """Extract the archives in `data/raw` to `data/train` and `data/test`.

    Raises
    ------
    UserError
        If an archive is missing or corrupt, or the disk is full.

    Examples
    --------
    >>> import kaggle_cifar as kc
    >>> kc.extract()
    """
    from kaggle_cifar.data.extract import extract

    extract(current_project())


@without_traceback
def sample(folder: str | os.PathLike[str] | None = None, *, seed: int = 0) -> None:
    """Draw a small offline competition of shapes.

    The folder gets the same four files as Kaggle's, and `solution.csv` with the true labels of the
    test images. No network or account is needed.

    Parameters
    ----------
    folder
        Folder of the files, by default `data/raw`, where `extract` finds them.
    seed
        Random seed.

    Raises
    ------
    UserError
        If the folder has other files with these names.

    Examples
    --------
    >>> import kaggle_cifar as kc
    >>> kc.sample("data/raw")
    """
    from kaggle_cifar.data.synthetic import draw_sample

    require_type("folder", folder, str | os.PathLike | None, "a path")
    require_seed(seed)
    draw_sample(Path(folder) if folder is not None else current_project().raw, seed)


def require_seed(seed: int) -> None:
    """Raise a SettingError unless `seed` is a valid random seed."""
    from kaggle_cifar.recipes import whole_number
    from kaggle_cifar.recipes.validation import check_setting
    from kaggle_cifar.training.options import LARGEST_SEED

    check_setting("seed", seed, whole_number(0, LARGEST_SEED))


@dataclass(frozen=True)
class DataFindings:
    """The findings of `inspect`."""

    inspection: "Inspection"

    @property
    def class_counts(self) -> dict[str, int]:
        """The number of training images of each class."""
        return self.inspection.class_counts

    def __repr__(self) -> str:
        return "\n".join(self.inspection.lines())

    def _repr_html_(self) -> str:
        rows = [tuple(line.split(": ", 1)) for line in self.inspection.lines() if ": " in line]
        examples = html_image(self.inspection.folder / "classes.png", "An image of each class")
        last = [html.escape(line) for line in self.inspection.lines() if ": " not in line]
        return f"{html_table(rows)}<p>{'<br>'.join(last)}</p>{examples}"


@without_traceback
def inspect(*, seed: int = 0) -> DataFindings:
    """Count classes and find duplicate and corrupt images.

    `data/inspection` gets the findings as JSON, a figure of the class counts and a figure with an
    example of each class.

    Parameters
    ----------
    seed
        Random seed for the choice of example images.

    Returns
    -------
    DataFindings
        The findings. A notebook shows them as a table with an image of each class.

    Raises
    ------
    UserError
        If the labels or the images are missing.

    Examples
    --------
    >>> import kaggle_cifar as kc
    >>> kc.inspect().class_counts["cat"]
    12
    """
    from kaggle_cifar.data.inspection import inspect_data

    require_seed(seed)
    return DataFindings(inspect_data(current_project(), seed))
