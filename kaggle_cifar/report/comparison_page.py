"""The page that compares several runs."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from kaggle_cifar.console import counted, enumerated
from kaggle_cifar.evaluation import metrics, plots
from kaggle_cifar.evaluation.intervals import Difference, accuracy_difference, wilson_interval
from kaggle_cifar.evaluation.metrics import Predictions
from kaggle_cifar.report.components import (
    Cell,
    Picture,
    Table,
    column,
    last_value,
    percent,
    render,
    save_picture,
)
from kaggle_cifar.report.ledger import runs_table
from kaggle_cifar.report.reading import Findings

CURVES = {
    "val_accuracy": "validation accuracy",
    "val_loss": "validation loss",
    "learning_rate": "learning rate",
}


def comparison_page(folder: Path, found: Sequence[Findings]) -> str:
    """Return the page that compares runs, and write its figures to `folder`."""
    figures = folder / "figures"
    links = {part.name: f"../{quote(part.name)}/report.html" for part in found}
    return render(
        "comparison.html",
        title=", ".join(part.name for part in found),
        found=found,
        table_of_runs=runs_table(found, links),
        curves=draw_histories(figures, found),
        agreement=view_agreement(figures, found),
        test_agreement=test_agreement(found),
        missing=[(part.name, sentence) for part in found for sentence in part.missing],
    )


def draw_histories(figures: Path, found: Sequence[Findings]) -> list[Picture]:
    """Draw the curves of all runs, one figure for each quantity."""
    pictures = []
    for key, quantity in CURVES.items():
        columns = {part.name: column(part.history, key) for part in found}
        lines = {name: values for name, values in columns.items() if any(values)}
        if not lines:
            continue
        figure = plots.draw_lines(lines, quantity, logarithmic=key == "learning_rate")
        ends = ", ".join(f"{name} ends at {last_value(values)}" for name, values in lines.items())
        text = f"{quantity.capitalize()} over epochs: {ends}."
        path = figures / f"{quantity.replace(' ', '_')}.png"
        pictures.append(save_picture(path, figure, text))
    return pictures


class AgreementView(NamedTuple):
    """What several runs predict for the same validation images."""

    note: str
    picture: Picture | None
    pairs: Table | None
    ensemble: str


def view_agreement(figures: Path, found: Sequence[Findings]) -> AgreementView | None:
    """Compare the runs on their common validation images; None for fewer than two runs."""
    names = [part.name for part in found if part.validation]
    parts = [part.validation for part in found if part.validation]
    if len(parts) < 2:
        return None
    common = metrics.common_images(parts)
    note = common_note(parts, len(common[0]))
    if not len(common[0]):
        return AgreementView(note, None, None, "")
    return AgreementView(
        note,
        draw_agreement(figures, names, common) if len(names) > 2 else None,
        pairs_table(names, common),
        ensemble_sentence(names, common),
    )


def draw_agreement(figures: Path, names: Sequence[str], common: Sequence[Predictions]) -> Picture:
    """Draw how often each two runs agree."""
    shares = metrics.agreement(common)
    one, other = map(int, np.unravel_index(shares.argmin(), shares.shape))
    text = (
        f"Share of the images on which each two runs agree. {names[one]} and {names[other]} agree "
        f"least often, on {percent(shares.min())}."
    )
    return save_picture(figures / "agreement.png", plots.draw_agreement(shares, names), text)


def common_note(parts: Sequence[Predictions], common: int) -> str:
    """Return on which images the runs are compared."""
    sizes = {len(part) for part in parts}
    if sizes == {common}:
        return f"All runs were validated on the same {counted(common, 'image')}."
    if not common:
        return (
            "The runs were validated on different images and have none in common, so neither "
            "their agreement nor an ensemble can be measured."
        )
    return (
        f"The runs were validated on different images. They are compared on what all have in "
        f"common: {counted(common, 'image')} on which none was trained."
    )


def pairs_table(names: Sequence[str], common: Sequence[Predictions]) -> Table:
    """Return the agreement, the difference and the ensemble of each two runs."""
    header = (
        "first",
        "second",
        "agreement",
        "first minus second",
        "ensemble",
        "gain over the better run",
    )
    pairs = itertools.combinations(zip(names, common, strict=True), 2)
    return Table("Pairs of runs", header, [pair_row(*one, *other) for one, other in pairs])


def pair_row(name: str, one: Predictions, other_name: str, other: Predictions) -> tuple[Cell, ...]:
    """Return the row of two runs on the same images."""
    agreement = float(np.mean(one.classes == other.classes))
    mean = average([one, other])
    better = max(one, other, key=lambda part: part.accuracy)
    return (
        Cell(name),
        Cell(other_name),
        Cell(percent(agreement), agreement),
        difference_cell(accuracy_difference(one.correct, other.correct)),
        Cell(f"{mean.accuracy:.4f}", mean.accuracy),
        difference_cell(accuracy_difference(mean.correct, better.correct)),
    )


def difference_cell(gap: Difference) -> Cell:
    """Return a difference of accuracies in points, with half its 95 % interval."""
    return Cell(f"{100 * gap.mean:+.2f} ± {100 * gap.half:.2f} points", gap.mean)


def average(parts: Sequence[Predictions]) -> Predictions:
    """Return the mean of the probabilities for the same images, as `predict` computes it."""
    mean = np.mean([part.probabilities for part in parts], axis=0, dtype=float)
    return Predictions(parts[0].ids, parts[0].labels, mean)


def ensemble_sentence(names: Sequence[str], common: Sequence[Predictions]) -> str:
    """Return the accuracy of the ensemble of all runs, and its gain over the best run."""
    mean = average(common)
    best = max(range(len(names)), key=lambda i: common[i].accuracy)
    gain = accuracy_difference(mean.correct, common[best].correct)
    low, high = wilson_interval(mean.accuracy, len(mean))
    result = "not significant"
    if gain.certain:
        result = "a significant gain" if gain.mean > 0 else "a significant loss"
    return (
        f"The ensemble of {len(names)} runs has an accuracy of {mean.accuracy:.4f} "
        f"(95 %: {low:.4f} to {high:.4f}). Compared with {names[best]}, the best run, that is "
        f"{difference_cell(gain).text}: {result}."
    )


def test_agreement(found: Sequence[Findings]) -> str:
    """Return how often the runs agree on the test images; empty unless all predicted the same."""
    tests = [part.test for part in found if part.test is not None]
    if len(tests) < 2 or any(not np.array_equal(tests[0]["id"], test["id"]) for test in tests):
        return ""
    names = enumerated([part.name for part in found if part.test is not None])
    classes = np.array([test["probabilities"].argmax(axis=1) for test in tests])
    share = float((classes == classes[0]).all(axis=0).mean())
    return f"The runs {names} agree on {percent(share)} of the {len(tests[0]):,} test images."
