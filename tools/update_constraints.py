"""Write the sets of exact versions in constraints/. `make constraints` installs uv and runs this.

Usage: update_constraints.py [newest] [lowest] [notebooks=FREEZE], where FREEZE is a copy of
pip-freeze.txt at COLAB_COMMIT. uv resolves each set as a whole.
"""

import datetime
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "constraints"

COLAB_REPOSITORY = "https://github.com/googlecolab/backend-info"
COLAB_COMMIT = "0f0755b80800f62863b81348b000c97417f87bbd"
COLAB_DATE = "2026-05-14"

HEADERS = {
    "newest": "The newest versions for all supported Pythons and platforms. Source: PyPI, {today}.",
    "lowest": (
        "The lowest versions that pyproject.toml allows, for Python 3.11 on Linux, and the newest\n"
        "# of all that they need. Source: pyproject.toml and PyPI, {today}."
    ),
    "notebooks": (
        f"The versions of Colab's image of {COLAB_DATE}, from which Kaggle builds its own, and\n"
        "# the newest of all that it lacks or has too old. Source: pip-freeze.txt of\n"
        f"# {COLAB_REPOSITORY} at {COLAB_COMMIT[:12]}, and PyPI, {{today}}."
    ),
}

# These versions have no wheels for Python 3.14, so pip chooses others there.
NO_WHEELS_FOR_314 = ("h5py", "tensorflow")

PYTHON = "--python-version=3.11"
EVERYTHING = ("--all-extras", "--group=dev", "--group=docs", "--group=release")
OPTIONAL = ("--extra=onnx", "--extra=search")  # without gpu, whose libraries take 3 GB


def resolve(*options: str, preferred: str = "", limits: str = "") -> list[str]:
    """Return a line `name==version` for each package, with its marker if it has one.

    Versions in `preferred` are kept if they are allowed. Those in `limits` are always kept.
    """
    with tempfile.TemporaryDirectory() as folder:
        output, constraints = Path(folder, "output.txt"), Path(folder, "constraints.txt")
        output.write_text(preferred, encoding="utf-8")
        constraints.write_text(limits, encoding="utf-8")
        command = ["uv", "pip", "compile", "--quiet", "--no-annotate", "--no-header"]
        command += ["--no-emit-index-url", f"--output-file={output}", f"--constraint={constraints}"]
        subprocess.run(
            [*command, *options, "pyproject.toml"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
        return output.read_text(encoding="utf-8").splitlines()


def newest() -> list[str]:
    """Return the newest version of every package, whatever its purpose.

    uv tries the packages in another order for all platforms at once than for one, and then arrives
    at an older TensorFlow. Therefore, it starts with the versions for one.
    """
    here = resolve(PYTHON, *EVERYTHING)
    everywhere = resolve(PYTHON, "--universal", *EVERYTHING, preferred="\n".join(here))
    return [line for line in map(loosened, everywhere) if line]


def loosened(line: str) -> str | None:
    """Return the line without PyPy's conditions, loosened for Python 3.14; None for PyPy's own."""
    if "platform_python_implementation == 'PyPy'" in line:
        return None
    line = re.sub(r" ; platform_python_implementation [!=]= '\w+'$", "", line)
    if line.split("==")[0] in NO_WHEELS_FOR_314:
        line = f"{line.partition(' ;')[0]} ; python_full_version < '3.14'"
    return line


def lowest() -> list[str]:
    """Return the lowest allowed version of each dependency, and what the tests need with them."""
    declared = resolve(PYTHON, *OPTIONAL, "--resolution=lowest-direct")
    return resolve(PYTHON, *OPTIONAL, "--group=test", limits="\n".join(declared))


def notebooks(freeze: Path) -> list[str]:
    """Return the versions after an installation into an image with the packages of `freeze`."""
    lines = freeze.read_text(encoding="utf-8").splitlines()
    image = "\n".join(line for line in lines if re.fullmatch(r"[\w.-]+==[\w.]+", line))
    installed = resolve(PYTHON, preferred=image)
    options = (*OPTIONAL, "--group=test")
    return resolve(PYTHON, *options, preferred=image, limits="\n".join(installed))


SETS: dict[str, Callable[..., list[str]]] = {
    "newest": newest,
    "lowest": lowest,
    "notebooks": notebooks,
}


def main() -> None:
    """Replace the sets that the command line names."""
    for argument in sys.argv[1:]:
        name, _, freeze = argument.partition("=")
        lines = SETS[name](*([Path(freeze)] if freeze else []))
        header = HEADERS[name].format(today=datetime.date.today())
        content = f"# {header}\n# To renew it, see CONTRIBUTING.md.\n" + "\n".join(lines) + "\n"
        (FOLDER / f"{name}.txt").write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
