"""Draw the pictures of a report in docs/pictures from a trained run.

python docs/draw_pictures.py RUN [--data-dir data] [--runs-dir runs]

It writes the run's page, photographs its top in Chromium, light and dark, and copies two of its
figures. The pictures carry the name of the run.
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.report.report import report
from kaggle_cifar.training.find_runs import find_run

PICTURES = Path(__file__).parent / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1180, 1130  # pixels
FIGURES = ("confusion", "reliability")


def photograph(page: Path) -> None:
    """Write a picture of a page's top in each colour scheme."""
    browser_file = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser_file:
        raise SystemExit("Chromium is not installed. Run apt-get install chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_file, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            viewport = {"width": WIDTH, "height": HEIGHT}
            tab = browser.new_page(viewport=viewport, color_scheme=scheme)
            tab.goto(page.resolve().as_uri())
            tab.screenshot(path=PICTURES / f"report-{scheme}.png")
        browser.close()


def main() -> None:
    """Draw all pictures of the run that is named on the command line."""
    parser = argparse.ArgumentParser(description="Draw the pictures of a report.")
    parser.add_argument("run", metavar="RUN", help="name of a finished run")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    options = parser.parse_args()
    project = ProjectPaths(options.data_dir, options.runs_dir, Path("submissions"))
    run = find_run(project, options.run)
    report(project, [run])
    photograph(run.folder / "report.html")
    for figure in FIGURES:
        shutil.copyfile(run.folder / "figures" / f"{figure}.png", PICTURES / f"{figure}.png")


if __name__ == "__main__":
    main()
