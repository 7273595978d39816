"""The page of several runs beside each other."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from kaggle_cifar.evaluation import analysis, plots
from kaggle_cifar.evaluation.analysis import Judged
from kaggle_cifar.report.components import (
    Album,
    Cell,
    Picture,
    Table,
    column,
    ending,
    percent,
    render,
)
from kaggle_cifar.report.reading import Findings
from kaggle_cifar.report.run_table import runs_table


def comparison_page(folder: Path, found: Sequence[Findings]) -> str:
    """Return the page of several runs, and write its figures to a folder of their own."""
    album = Album(folder / "figures")
    draw_side_by_side(album, found)
    with_validation = [part for part in found if part.judged]
    return render(
        "comparison.html",
        title=" and ".join(part.name for part in found),
        found=found,
        table_of_runs=runs_table(
            found, {part.name: f"../{quote(part.name)}/report.html" for part in found}
        ),
        curves=overlay_curves(album, found),
        together=compare(album, with_validation) if len(with_validation) > 1 else None,
        test_agreement=test_agreement(found),
        missing=[(part.name, sentence) for part in found for sentence in part.missing],
    )


def draw_side_by_side(album: Album, found: Sequence[Findings]) -> None:
    """Write the PNG of each two neighbours that can be compared: their curves and accuracies."""
    keys = ("train_accuracy", "validation_accuracy")
    complete = [part for part in found if part.history and all(key in part.metrics for key in keys)]
    for number, pair in enumerate(itertools.pairwise(complete), start=1):
        names = [part.name for part in pair]
        accuracies = [(part.metrics[keys[0]], part.metrics[keys[1]]) for part in pair]
        path = album.folder / f"side_by_side_{number}.png"
        plots.draw_comparison([part.history for part in pair], names, accuracies, path)


def overlay_curves(album: Album, found: Sequence[Findings]) -> list[Picture]:
    """Draw the curves of all runs over each other."""
    pictures = []
    for key, what in (
        ("val_accuracy", "validation accuracy"),
        ("val_loss", "validation loss"),
        ("learning_rate", "learning rate"),
    ):
        lines = {part.name: column(part.history, key) for part in found}
        lines = {name: values for name, values in lines.items() if any(values)}
        if not lines:
            continue
        figure = plots.draw_lines(lines, what, logarithmic=key == "learning_rate")
        ends = ", ".join(f"{name} {ending(values)}" for name, values in lines.items())
        text = f"{what.capitalize()} over epochs; at the end {ends}."
        pictures.append(album.add(what.replace(" ", "_"), figure, text))
    return pictures


class Together(NamedTuple):
    """What several runs say of the same images."""

    note: str
    agreement: Picture | None
    pairs: Table | None
    ensemble: str


def compare(album: Album, found: Sequence[Findings]) -> Together:
    """Return how far runs agree on common validation images, and what their mean gains."""
    parts = [part.judged for part in found if part.judged]
    common = analysis.common_images(parts)
    note = common_note(parts, len(common[0]))
    if not len(common[0]):
        return Together(note, None, None, "")
    names = [part.name for part in found]
    return Together(
        note,
        show_agreement(album, names, common) if len(names) > 2 else None,
        pairs_table(names, common),
        ensemble_sentence(names, common),
    )


def show_agreement(album: Album, names: Sequence[str], common: list[Judged]) -> Picture:
    """Return how often each two runs agree, drawn."""
    shares = analysis.agreement([part.guesses for part in common])
    one, other = map(int, np.unravel_index(shares.argmin(), shares.shape))
    text = (
        f"On how many images each two runs agree; least {names[one]} and {names[other]}, on "
        f"{percent(shares.min())}."
    )
    return album.add("agreement", plots.draw_agreement(shares, names), text)


def common_note(parts: Sequence[Judged], common: int) -> str:
    """Return on which images runs are compared."""
    sizes = {len(part) for part in parts}
    if sizes == {common}:
        return f"All were validated on the same {common:,} images."
    if not common:
        return (
            "The runs were validated on different images and have none in common, so neither "
            "their agreement nor an ensemble can be measured on them."
        )
    return (
        f"The runs were validated on different images. {common:,} are common to all, and no run "
        "was trained on them: what follows is measured on these."
    )


def pairs_table(names: Sequence[str], common: list[Judged]) -> Table:
    """Return each two runs' agreement, difference, and what their mean gains."""
    pairs = itertools.combinations(zip(names, common, strict=True), 2)
    header = (
        "first",
        "second",
        "agree",
        "first minus second",
        "their mean",
        "gain over the better",
    )
    return Table("Each two runs", header, [pair_row(*one, *other) for one, other in pairs])


def pair_row(name: str, one: Judged, other_name: str, other: Judged) -> tuple[Cell, ...]:
    """Return the cells of two runs on the same images."""
    agree = float(np.mean(one.guesses == other.guesses))
    mean = ensemble([one, other])
    better = max(one, other, key=lambda judged: judged.accuracy)
    return (
        Cell(name),
        Cell(other_name),
        Cell(percent(agree), agree),
        difference_cell(analysis.difference(one.correct, other.correct)),
        Cell(f"{mean.accuracy:.4f}", mean.accuracy),
        difference_cell(analysis.difference(mean.correct, better.correct)),
    )


def difference_cell(gap: analysis.Difference) -> Cell:
    """Return a difference of accuracies in points, with half its 95 % interval."""
    return Cell(f"{100 * gap.mean:+.2f} ± {100 * gap.half:.2f} points", gap.mean)


def ensemble(parts: Sequence[Judged]) -> Judged:
    """Return the mean of probabilities for the same images, as `predict` makes it."""
    mean = np.mean([part.probabilities for part in parts], axis=0, dtype=float)
    return Judged(parts[0].ids, parts[0].labels, mean)


def ensemble_sentence(names: Sequence[str], common: list[Judged]) -> str:
    """Return what the mean of all runs reaches, beside the best of them."""
    mean = ensemble(common)
    best = max(range(len(names)), key=lambda i: common[i].accuracy)
    gain = analysis.difference(mean.correct, common[best].correct)
    low, high = analysis.wilson_interval(mean.accuracy, len(mean))
    verdict = "no more than chance explains"
    if gain.certain:
        verdict = "more than chance explains" if gain.mean > 0 else "a loss"
    return (
        f"The mean of all {len(names)} reaches {mean.accuracy:.4f} "
        f"(95 %: {low:.4f} to {high:.4f}). That is {difference_cell(gain).text} beside "
        f"{names[best]}, the best of them: {verdict}."
    )


def test_agreement(found: Sequence[Findings]) -> str:
    """Return how often the runs agree on the test images, where all have predicted them."""
    tests = [part.test for part in found if part.test is not None]
    if len(tests) < 2 or any(not np.array_equal(tests[0]["id"], test["id"]) for test in tests):
        return ""
    names = [part.name for part in found if part.test is not None]
    guesses = np.array([test["probabilities"].argmax(axis=1) for test in tests])
    share = float((guesses == guesses[0]).all(axis=0).mean())
    return f"On {percent(share)} of the {len(tests[0]):,} test images {', '.join(names)} agree."
