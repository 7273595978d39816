"""Run the tests of the whole way on other versions. `make test-versions` runs this.

The lowest versions and those of notebooks run on the Python of this program, the newest on every
other supported Python that is found on PATH. Each gets a virtual environment of its own. The exit
status is 1 if anything fails.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Download, extract, inspect, train, predict, check, submit, export, report, the Python API, the
# notebook, and what depends on the versions of TensorFlow and the kaggle client.
TESTS = (
    "tests/cli/test_whole_way.py",
    "tests/api/test_whole_way.py",
    "tests/api/test_networks.py",
    "tests/test_notebook.py",
    "tests/test_doctor.py",
    "tests/test_tensorflow_setup.py",
    "tests/data/test_inspection.py",
    "tests/data/test_sevenzip.py",
    "tests/kaggle",
    "tests/models/test_weights.py",
    "tests/prediction/test_classify.py",
    "tests/prediction/test_export.py",
    "tests/report/test_report.py",
    "tests/training/test_checkpoint.py",
)
SHOW = """
import os, platform
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy, pandas, tensorflow
print("Python", platform.python_version(), "tensorflow", tensorflow.__version__,
      "keras", keras.__version__, "numpy", numpy.__version__, "pandas", pandas.__version__)
"""


@dataclass(frozen=True)
class Case:
    """A Python, by its command, and a set of versions."""

    python: str
    versions: str

    @property
    def name(self) -> str:
        """The name in the table of results."""
        return f"{self.versions} on {Path(self.python).name}"


def supported_pythons() -> list[str]:
    """Return the commands of the Pythons in the classifiers of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = (re.search(r"Python :: (3\.\d+)$", line) for line in project["classifiers"])
    return [f"python{match[1]}" for match in found if match]


def works(python: str) -> bool:
    """Return whether a command runs a Python that can create virtual environments."""
    if not shutil.which(python):
        return False
    done = subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True)
    return done.returncode == 0


def cases() -> list[Case]:
    """Return what to test on this machine."""
    here = f"python{sys.version_info.major}.{sys.version_info.minor}"
    others = [python for python in supported_pythons() if python != here and works(python)]
    return [
        Case(sys.executable, "lowest"),
        Case(sys.executable, "notebooks"),
        *(Case(python, "newest") for python in others),
    ]


def succeed(*command: str | Path) -> str:
    """Return the output of a command, which is also printed; raise an error if it fails."""
    lines = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return "".join(lines)


def test(case: Case, folder: Path) -> str:
    """Install the versions of a case into a new environment and run the tests; return a summary."""
    succeed(case.python, "-m", "venv", folder)
    python = folder / "bin" / "python"
    install: list[str | Path] = [python, "-m", "pip", "install", "--quiet"]
    succeed(*install, "--upgrade", "pip>=25.1")
    constraint = f"--constraint=constraints/{case.versions}.txt"
    succeed(*install, constraint, "--group=test", "--editable=.[onnx,search]")
    shown = succeed(python, "-c", SHOW)
    run = ["-m", "pytest", "--numprocesses=auto", "--dist=loadfile", "--no-loadscope-reorder"]
    output = succeed(python, *run, "-p", "no:cacheprovider", *TESTS)
    return f"{shown.strip()}: {output.splitlines()[-1].strip('= ')}"


def main() -> None:
    """Test all cases, print a table, and exit with 1 if one failed."""
    results, failed = [], False
    for case in cases():
        print(f"Testing {case.name} …", flush=True)
        start = time.monotonic()
        try:
            with tempfile.TemporaryDirectory() as folder:
                result = test(case, Path(folder))
        except subprocess.CalledProcessError as error:
            failed, result = True, f"FAILED: {' '.join(map(str, error.cmd[:5]))} …"
        results.append(f"{case.name} ({time.monotonic() - start:.0f} s)  {result}")
    print("\n".join(results))
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
