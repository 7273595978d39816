"""Draw the stages of the package into docs/architecture.md, from the contract in pyproject.toml.

python docs/draw_layers.py
"""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- layers: written by docs/draw_layers.py -->", "<!-- end of layers -->"


def page_with_layers(page: str) -> str:
    """Return the page with the current diagram of the layers."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    [contract] = settings["tool"]["importlinter"]["contracts"]
    arrows = "\n".join(
        f"    {later} --> {earlier}"
        for later, earlier in zip(contract["layers"], contract["layers"][1:], strict=False)
    )
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n```mermaid\nflowchart TD\n{arrows}\n```\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with_layers(PAGE.read_text()))
