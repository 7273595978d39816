"""The plan of the house: a room imports only from rooms that docs/development.md lists above it."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "kaggle_cifar"


def rooms_in_order() -> list[str]:
    page = (ROOT / "docs" / "development.md").read_text()
    return re.findall(r"^\| `(\w+)/?` \|", page, re.MULTILINE)


def imported_rooms(file: Path) -> set[str]:
    """Return the rooms that a file imports anywhere in it, in functions too."""
    rooms = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        parts = node.module.split(".")
        if parts[0] == PACKAGE.name:
            rooms |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return rooms - {"__version__"}


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: file.stem)
def test_a_room_imports_only_from_rooms_above_it(file):
    order = rooms_in_order()
    room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    assert room in order, f"docs/development.md does not list {room}"
    above = set(order[: order.index(room)])
    assert imported_rooms(file) - {room} <= above
