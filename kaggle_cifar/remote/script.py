"""The kernel that is pushed to Kaggle: a script with this package's source, and its metadata."""

import ast
import base64
import dataclasses
import importlib.util
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kaggle_cifar import __version__, competition
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import write_json, write_text
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.remote.worker import Job

PACKAGE = Path(__file__).parent.parent
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # so that the same source gives the same script

SCRIPT = '''\
"""Train the run {name} of the competition {slug} with kaggle-cifar {version}.

Written by `kaggle-cifar train --on kaggle`. It contains the program's source.
"""

import base64
import io
import json
import sys
import tempfile
import zipfile

JOB = json.loads({job!r})
SOURCE = """
{source}"""

folder = tempfile.mkdtemp(prefix="kaggle-cifar-source-")
zipfile.ZipFile(io.BytesIO(base64.b64decode(SOURCE))).extractall(folder)
sys.path.insert(0, folder)

from kaggle_cifar.remote.worker import Job, main

if status := main(Job(**JOB)):
    sys.exit(status)
'''


def write_kernel(folder: Path, kernel: str, job: Job, accelerator: str, source: str | None) -> None:
    """Write the script and the metadata that `kernels_push` turns into a kernel.

    `kernel` is "user/slug". The output of the kernel `source`, if any, becomes one of its inputs.
    """
    script = SCRIPT.format(
        name=job.name,
        slug=competition.SLUG,
        version=__version__,
        job=json.dumps(dataclasses.asdict(job), sort_keys=True),
        source=base64.encodebytes(zipped_source()).decode(),
    )
    write_text(folder / "train.py", script)
    metadata = {
        "id": kernel,
        "title": kernel.partition("/")[2].replace("-", " "),
        "code_file": "train.py",
        "language": "python",
        "kernel_type": "script",
        "is_private": True,
        "enable_gpu": True,
        "machine_shape": accelerator,
        "enable_internet": True,  # for packages that Kaggle's image lacks
        "competition_sources": [competition.SLUG],
        "kernel_sources": [source] if source else [],
        "dataset_sources": [],
        "model_sources": [],
    }
    write_json(folder / "kernel-metadata.json", metadata)


def zipped_source() -> bytes:
    """Return the package's Python files as a zip, the same bytes for the same files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(PACKAGE.rglob("*.py")):
            name = f"{PACKAGE.name}/{path.relative_to(PACKAGE).as_posix()}"
            info = zipfile.ZipInfo(name, ZIP_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, path.read_bytes())
    return content.getvalue()


def check_local_files(recipe: Recipe) -> None:
    """Raise a UserError when a recipe needs a file of this machine that Kaggle would not have.

    The code of an own network is a part of the recipe.
    """
    for key, value in strings_of(recipe.network_options, "network_options"):
        if "/" in value or "\\" in value or Path(value).is_file():
            raise UserError(
                f"{recipe.name} was not sent to Kaggle: its {key} is the local file {value!r}, "
                "which is not there. Put what it holds into the recipe or the network's file."
            )
    for name in foreign_modules("\n".join(recipe.network_source or [])):
        raise UserError(
            f"{recipe.name} was not sent to Kaggle: its network {recipe.network} imports {name}, "
            "a local module, which Kaggle does not have. Put what it needs into the network's file."
        )


def strings_of(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield each string in a JSON value with the key that leads to it."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from strings_of(part, f"{key}.{name}")
    elif isinstance(value, list):
        for part in value:
            yield from strings_of(part, key)


def foreign_modules(code: str) -> Iterator[str]:
    """Yield the modules that code imports and that no package manager installed here."""
    for node in ast.walk(ast.parse(code)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level:
            yield "." * node.level + (node.module or "")
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in (name.partition(".")[0] for name in names):
            if name not in (*sys.stdlib_module_names, PACKAGE.name) and not is_installed(name):
                yield name


def is_installed(name: str) -> bool:
    """Whether a module comes from a package that pip installed; false where there is none."""
    spec = importlib.util.find_spec(name)
    origin = Path(spec.origin) if spec and spec.origin else Path()
    return not {"site-packages", "dist-packages"}.isdisjoint(origin.parts)
