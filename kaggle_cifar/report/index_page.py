"""The page of all runs."""

from collections.abc import Sequence
from urllib.parse import quote

from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.report.components import BETWEEN, is_own_page, render
from kaggle_cifar.report.data_view import DataView
from kaggle_cifar.report.expectations import Expectations
from kaggle_cifar.report.ledger import runs_table
from kaggle_cifar.report.reading import Findings
from kaggle_cifar.report.submission_ledger import submissions_table


def index_page(found: Sequence[Findings], expectations: Expectations, data: DataView | None) -> str:
    """Return the page of all runs, with links to their pages."""
    links = {
        part.name: f"{quote(part.name)}/report.html"
        for part in found
        if (part.run.folder / "report.html").exists()
    }
    records = {
        (record["file"], record.get("submitted_at")): record
        for part in found
        for record in part.submissions
    }
    return render(
        "index.html",
        title="Runs",
        runs=runs_table(found, links),
        comparisons=comparison_names(expectations.project),
        submissions=submissions_table(expectations, records.values()),
        data=data,
        missing=list(dict.fromkeys(sentence for part in found for sentence in part.missing)),
    )


def comparison_names(project: ProjectPaths) -> list[str]:
    """Return the names of the folders that hold a comparison."""
    pages = sorted(project.runs.glob(f"*{BETWEEN}*/report.html"))
    return [page.parent.name for page in pages if is_own_page(page)]
