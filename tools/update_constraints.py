"""Write the newest versions to constraints.txt. `make constraints` installs uv and runs this.

uv resolves all dependencies, extras and groups of pyproject.toml for every supported Python and
platform at once. It adds an environment marker if a version depends on them.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
HEADER = """\
# Exact versions for Python 3.11 and newer on Linux, macOS and Windows. The Makefile and CI install
# from them. To update them, run: make constraints
"""
# The pinned versions have no wheels for Python 3.14, so pip chooses one there.
NO_WHEELS_FOR_314 = ("h5py", "tensorflow")
GROUPS = ("dev", "docs", "release")


def resolve() -> list[str]:
    """Return a line `name==version` for each package, with its marker if it has one."""
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    command += ["--no-annotate", "--no-header", "--no-emit-index-url", "--all-extras"]
    command += [f"--group={group}" for group in GROUPS]
    resolved = subprocess.run(
        [*command, "pyproject.toml"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return resolved.stdout.splitlines()


def to_constraint(line: str) -> str | None:
    """Return the line without PyPy's conditions, loosened for Python 3.14; None for PyPy's own."""
    if "platform_python_implementation == 'PyPy'" in line:
        return None
    line = re.sub(r" ; platform_python_implementation [!=]= '\w+'$", "", line)
    if line.split("==")[0] in NO_WHEELS_FOR_314:
        line += " ; python_full_version < '3.14'"
    return line


def main() -> None:
    """Replace constraints.txt."""
    lines = filter(None, map(to_constraint, resolve()))
    CONSTRAINTS.write_text(HEADER + "".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
