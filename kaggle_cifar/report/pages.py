"""The report's three kinds of pages: of a run, of several beside each other, of all there are."""

import base64
import functools
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import numpy as np

from kaggle_cifar import __version__, figures
from kaggle_cifar.competition import CLASS_NAMES, SCORED_COUNT, TEST_COUNT
from kaggle_cifar.errors import UserError
from kaggle_cifar.progress import duration
from kaggle_cifar.report import analysis
from kaggle_cifar.report.analysis import Judged
from kaggle_cifar.report.reading import (
    Findings,
    flatten,
    read_object,
    training_command,
)
from kaggle_cifar.storage import Layout

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

SHOWN = 24  # images of a gallery: three rows of eight
CONFUSIONS = 8


class Cell(NamedTuple):
    """A table's cell: its text, what to sort by where that is not the text, where it leads."""

    text: str
    value: float | None = None
    link: str | None = None


class Table(NamedTuple):
    """A table that sorts."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]


class Picture(NamedTuple):
    """A figure on a page, and what it shows in words."""

    svg: "Markup"
    text: str


class Shown(NamedTuple):
    """An image of a gallery: its data URI, None where it cannot be read, and its lines."""

    source: str | None
    lines: tuple[str, ...]


@dataclass
class Album:
    """Draws figures: each becomes a PNG in the folder and a picture for the page."""

    folder: Path

    def add(self, name: str, figure: "Figure", text: str) -> Picture:
        """Write a figure's PNG and return its picture."""
        from markupsafe import Markup

        figures.save(figure, self.folder / f"{name}.png")
        return Picture(Markup(figures.to_svg(figure)), text)  # noqa: S704 - drawn by us

    def add_gallery(
        self, name: str, files: list[Path], lines: list[tuple[str, ...]]
    ) -> list[Shown]:
        """Write the PNG of a gallery and return its images."""
        contents = [read_png(file) for file in files]
        pixels = [content and decode(content) for content in contents]
        captions = ["\n".join(part) for part in lines]
        figures.save(figures.draw_gallery(pixels, captions), self.folder / f"{name}.png")
        return [
            Shown(content and data_uri(content), part)
            for content, part in zip(contents, lines, strict=True)
        ]


def read_png(file: Path) -> bytes | None:
    """Return the content of a PNG that can be shown; None where there is none."""
    from PIL import Image

    try:
        content = file.read_bytes()
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return content


def decode(content: bytes) -> np.ndarray:
    """Return the pixels of a PNG as uint8 (height, width, 3)."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def data_uri(content: bytes) -> str:
    """Return a PNG as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


# -- a run


def run_page(layout: Layout, found: Findings) -> str:
    """Return the page of a run, and write its figures to the run's folder."""
    album = Album(found.run.folder / "figures")
    return render(
        "run.html",
        title=found.name,
        found=found,
        headline=headline(found),
        curves=draw_curves(album, found.history),
        judged=judge(layout, album, found.judged) if found.judged else None,
        test=look_at_test(layout, album, found.test) if found.test is not None else None,
        submissions=submissions_table(found.submissions),
        data=describe_data(layout),
        command=training_command(found),
        settings=settings_tables(found),
    )


class Card(NamedTuple):
    """A figure of the headline: what it is, its value, and what to know about it."""

    label: str
    value: str
    note: str


def headline(found: Findings) -> list[Card]:
    """Return what one wants to know first."""
    cards = [*accuracy_cards(found.metrics)]
    cards.append(time_card(found))
    if machine := machine_of(found.environment):
        cards.append(Card("Machine", *machine))
    if parameters := found.metrics.get("parameters"):
        text = f"network {found.recipe.get('network', 'unknown')}"
        cards.append(Card("Parameters", f"{parameters:,}", text))
    return cards


def accuracy_cards(metrics: dict[str, Any]) -> list[Card]:
    """Return the validation accuracy and what it promises, where there was a validation."""
    if not has_validation(metrics):
        return []
    accuracy, count = metrics["validation_accuracy"], metrics["validation_images"]
    low, high = analysis.wilson_interval(accuracy, count)
    worst, best = analysis.score_interval(accuracy, count)
    return [
        Card(
            "Validation accuracy",
            f"{accuracy:.4f}",
            f"95 %: {low:.4f} to {high:.4f}, on {count:,} images",
        ),
        Card(
            "Expected leaderboard score",
            f"{worst:.3f} – {best:.3f}",
            f"in 95 of 100 cases: {count:,} images measured, {SCORED_COUNT:,} others are scored",
        ),
    ]


def has_validation(metrics: dict[str, Any]) -> bool:
    """Return whether the figures of a run hold a validation accuracy."""
    return bool(metrics.get("validation_images")) and "validation_accuracy" in metrics


def time_card(found: Findings) -> Card:
    """Return how long the training took, or has taken so far."""
    done = len(found.history) or found.metrics.get("epochs", 0)
    note = f"{done} of {found.recipe.get('epochs', 'unknown')} epochs"
    if best := found.metrics.get("best_epoch"):
        note += f", the weights of epoch {best}"
    return Card("Training time", duration(seconds_of(found)), note)


def seconds_of(found: Findings) -> float:
    """Return the seconds of training, those so far where it is not finished."""
    so_far = sum(row.get("seconds") or 0 for row in found.history)
    return float(found.metrics.get("seconds", so_far))


def machine_of(environment: dict[str, Any]) -> tuple[str, str] | None:
    """Return the processor or the GPUs, and the rest of the machine."""
    machine = environment.get("machine")
    if not isinstance(machine, dict):
        return None
    gpus = machine.get("gpus") or []
    processor = str(machine.get("processor", "unknown processor"))
    cores = f"{machine.get('cores', '?')} cores"
    if gpus:
        return ", ".join(gpus), f"{processor}, {cores}"
    return processor, f"{cores}, no GPU"


def draw_curves(album: Album, history: list[dict[str, Any]]) -> list[Picture]:
    """Draw accuracy, loss and rate over the epochs."""
    if not history:
        return []
    pictures = []
    for key in ("accuracy", "loss"):
        lines = {"training": column(history, key)}
        if any(value is not None for value in column(history, f"val_{key}")):
            lines["validation"] = column(history, f"val_{key}")
        ends = ", ".join(f"{label} ends at {ending(values)}" for label, values in lines.items())
        text = f"{key.capitalize()} over {len(history)} epochs: {ends}."
        pictures.append(album.add(key, figures.draw_lines(lines, key), text))
    rates = column(history, "learning_rate")
    if any(rates):
        text = f"Learning rate over the epochs, from {rates[0]:.2e} to {rates[-1] or 0:.2e}."
        lines = {"learning rate": rates}
        figure = figures.draw_lines(lines, "learning rate", logarithmic=True)
        pictures.append(album.add("learning_rate", figure, text))
    return pictures


def column(history: list[dict[str, Any]], key: str) -> list[float | None]:
    """Return a column of a history, None where it has no number."""
    values = [row.get(key) for row in history]
    return [float(value) if isinstance(value, int | float) else None for value in values]


def ending(values: Sequence[float | None]) -> str:
    """Return the last number of a line as text."""
    numbers = [value for value in values if value is not None]
    return f"{numbers[-1]:.4f}" if numbers else "nothing"


class Verdict(NamedTuple):
    """What the validation images show."""

    confusion: Picture
    confusions: Table
    classes: Picture
    class_table: Table
    reliability: Picture
    calibration_error: float
    temperature: float
    cooled_error: float
    mistakes: list[Shown]
    mistake_count: int
    label_errors: list[Shown]
    label_error_count: int
    count: int


def judge(layout: Layout, album: Album, judged: Judged) -> Verdict:
    """Return what the validation images show, drawn."""
    confusion = analysis.confusion_matrix(judged)
    precision, recall = analysis.precision_recall(confusion)
    confusions = analysis.frequent_confusions(confusion, CONFUSIONS)
    reliability = analysis.reliability(judged.confidences, judged.correct)
    temperature = analysis.fit_temperature(judged)
    cooled = analysis.cool(judged.probabilities, temperature).max(axis=1)
    mistakes = analysis.confident_mistakes(judged, SHOWN)
    suspects, likely = analysis.likely_label_errors(judged)
    folder = layout.images("train")
    return Verdict(
        confusion=album.add(
            "confusion", figures.draw_confusion(confusion), confusion_text(confusions)
        ),
        confusions=confusions_table(confusion, confusions),
        classes=album.add(
            "precision_recall",
            figures.draw_precision_recall(precision, recall),
            f"Precision and recall of each class; {CLASS_NAMES[recall.argmin()]} is recognised "
            f"least, {CLASS_NAMES[recall.argmax()]} most often.",
        ),
        class_table=class_table(confusion, precision, recall),
        reliability=album.add(
            "reliability",
            figures.draw_reliability(
                reliability.confidences, reliability.accuracies, reliability.counts
            ),
            "Accuracy over confidence; the expected calibration error is "
            f"{reliability.calibration_error:.4f}.",
        ),
        calibration_error=reliability.calibration_error,
        temperature=temperature,
        cooled_error=analysis.reliability(cooled, judged.correct).calibration_error,
        mistakes=album.add_gallery(
            "confident_mistakes",
            [folder / f"{image_id}.png" for image_id in judged.ids[mistakes]],
            [mistake_lines(judged, row) for row in mistakes],
        ),
        mistake_count=int((~judged.correct).sum()),
        label_errors=album.add_gallery(
            "likely_label_errors",
            [folder / f"{image_id}.png" for image_id in judged.ids[suspects[:SHOWN]]],
            [
                suspect_lines(judged, row, label)
                for row, label in zip(suspects[:SHOWN], likely[:SHOWN], strict=True)
            ],
        ),
        label_error_count=len(suspects),
        count=len(judged),
    )


def mistake_lines(judged: Judged, row: int) -> tuple[str, ...]:
    """Return what stands under a mistake."""
    guess = CLASS_NAMES[judged.guesses[row]]
    return (
        f"{guess} {percent(judged.confidences[row])}",
        f"truth: {CLASS_NAMES[judged.labels[row]]}",
        f"{judged.ids[row]}.png",
    )


def suspect_lines(judged: Judged, row: int, likely: int) -> tuple[str, ...]:
    """Return what stands under a label that is likely wrong."""
    given = judged.labels[row]
    return (
        f"label: {CLASS_NAMES[given]} {percent(judged.probabilities[row, given])}",
        f"likely {CLASS_NAMES[likely]} {percent(judged.probabilities[row, likely])}",
        f"{judged.ids[row]}.png",
    )


def percent(share: float) -> str:
    """Return a share as a percentage that is 100 only where it is whole."""
    return f"{np.floor(share * 1000) / 10:.1f} %"


def confusion_text(confusions: list[tuple[int, int, int]]) -> str:
    """Return the confusion matrix in words."""
    most = [
        f"{count} {CLASS_NAMES[truth]} images taken for {CLASS_NAMES[guess]}"
        for truth, guess, count in confusions[:3]
    ]
    return "Confusion matrix. Most frequent: " + (", ".join(most) or "no mistake") + "."


def confusions_table(confusion: np.ndarray, confusions: list[tuple[int, int, int]]) -> Table:
    """Return the most frequent mistakes, with their share of the true class's images."""
    totals = confusion.sum(axis=1)
    rows = [
        (
            Cell(CLASS_NAMES[truth]),
            Cell(CLASS_NAMES[guess]),
            Cell(f"{count:,}", count),
            Cell(percent(count / totals[truth]), count / totals[truth]),
        )
        for truth, guess, count in confusions
    ]
    return Table("Most frequent mistakes", ("truth", "guess", "images", "of the class"), rows)


def class_table(confusion: np.ndarray, precision: np.ndarray, recall: np.ndarray) -> Table:
    """Return precision and recall by class."""
    rows = [
        (
            Cell(name),
            Cell(f"{images:,}", images),
            Cell(f"{class_precision:.3f}", class_precision),
            Cell(f"{class_recall:.3f}", class_recall),
        )
        for name, images, class_precision, class_recall in zip(
            CLASS_NAMES, confusion.sum(axis=1).tolist(), precision, recall, strict=True
        )
    ]
    return Table("Each class", ("class", "images", "precision", "recall"), rows)


class TestView(NamedTuple):
    """What the predictions of the test images show."""

    counts: Picture
    note: str
    images: list[Shown]


def look_at_test(layout: Layout, album: Album, test: np.ndarray) -> TestView:
    """Return the test images' predictions, drawn."""
    guesses = test["probabilities"].argmax(axis=1)
    confidences = test["probabilities"].max(axis=1)
    counts = np.bincount(guesses, minlength=len(CLASS_NAMES))
    drawn = np.sort(np.random.default_rng(0).permutation(len(test))[:SHOWN])
    files = [layout.images("test") / f"{image_id}.png" for image_id in test["id"][drawn]]
    lines = [
        (f"{CLASS_NAMES[guesses[row]]} {percent(confidences[row])}", f"{test['id'][row]}.png")
        for row in drawn
    ]
    most = CLASS_NAMES[counts.argmax()]
    text = f"How often each class is predicted; most often {most}, {counts.max():,} times."
    return TestView(
        album.add("test_classes", figures.draw_class_counts(counts.tolist()), text),
        test_note(len(test)),
        album.add_gallery("test_images", files, lines),
    )


def test_note(count: int) -> str:
    """Return what to think of the predicted classes' frequencies."""
    if count != TEST_COUNT:
        return f"{count:,} test images; the competition itself has {TEST_COUNT:,}."
    junk = TEST_COUNT - SCORED_COUNT
    return (
        f"{junk:,} of the {TEST_COUNT:,} test images are junk that Kaggle does not score, put "
        "there against labelling by hand. They look like none of the classes, so the frequencies "
        "differ from the training set's, where each class has a tenth."
    )


def submissions_table(records: list[dict[str, Any]]) -> Table:
    """Return the submissions with their state and scores."""
    header = ("submission", "runs", "state", "public score", "private score", "submitted (UTC)")
    return Table("Submissions", header, [submission_row(record) for record in records])


def submission_row(record: dict[str, Any]) -> tuple[Cell, ...]:
    """Return a submission's cells."""
    submitted = str(record.get("submitted_at") or "")
    state = str(record.get("status") or "").lower() or ("sent" if submitted else "not submitted")
    return (
        Cell(record["file"]),
        Cell(" + ".join(record.get("runs", []))),
        Cell(state),
        score_cell(record.get("public_score")),
        score_cell(record.get("private_score")),
        Cell(submitted.replace("T", " ").partition("+")[0]),
    )


def score_cell(score: Any) -> Cell:
    """Return the cell of one of Kaggle's scores, which are texts."""
    text = str(score or "")
    return Cell(text, float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else None)


def settings_tables(found: Findings) -> list[Table]:
    """Return the recipe, the options and the environment in full."""
    parts = (
        ("Recipe", found.recipe),
        ("Options", found.options),
        ("Environment", found.environment),
    )
    return [
        Table(title, ("setting", "value"), [(Cell(k), Cell(v)) for k, v in flatten(part).items()])
        for title, part in parts
        if part
    ]


# -- the data


class DataView(NamedTuple):
    """What `inspect` found in the data."""

    table: Table
    counts: Picture
    examples: Shown
    notes: list[str]


def describe_data(layout: Layout) -> DataView | None:
    """Return what `inspect` found; None where it was not run or its findings are damaged."""
    folder = layout.data / "inspection"
    try:
        findings = read_object(folder / "inspection.json")
        counts = findings["class_counts"]
        rows = [split_row(name, findings[name]) for name in ("train", "test")]
        notes = [note for name in ("train", "test") for note in split_notes(name, findings[name])]
        notes.append(f"{findings['images_in_both']:,} images are in both, pixel for pixel.")
        figure = figures.draw_class_counts([counts[name] for name in CLASS_NAMES])
    except (UserError, KeyError, TypeError, ValueError):
        return None
    content = read_png(folder / "classes.png")
    header = ("images", "read", "shape", "mean (r, g, b)", "deviation (r, g, b)", "copies")
    return DataView(
        Table("The images", header, rows),
        to_picture(figure, f"{sum(counts.values()):,} labels by class."),
        Shown(content and data_uri(content), ("An example of each of the ten classes.",)),
        notes,
    )


def to_picture(figure: "Figure", text: str) -> Picture:
    """Return the picture of a figure that is on disk already."""
    from markupsafe import Markup

    return Picture(Markup(figures.to_svg(figure)), text)  # noqa: S704 - drawn by us


def split_row(name: str, split: dict[str, Any]) -> tuple[Cell, ...]:
    """Return a line about the training or the test images."""
    return (
        Cell(name),
        Cell(f"{split['read']:,} of {split['expected']:,}", split["read"]),
        Cell("32 × 32 × 3, uint8"),
        Cell(" ".join(f"{mean:.4f}" for mean in split["channel_means"])),
        Cell(" ".join(f"{deviation:.4f}" for deviation in split["channel_deviations"])),
        Cell(f"{split['duplicates']:,}", split["duplicates"]),
    )


def split_notes(name: str, split: dict[str, Any]) -> list[str]:
    """Return a sentence for each kind of file that should not be so."""
    kinds = (("broken", "cannot be read"), ("odd_files", "do not belong there"))
    return [
        f"{name}: {len(split[key]):,} files {what}: {'; '.join(split[key][:5])}"
        for key, what in kinds
        if split[key]
    ]


# -- several runs


def comparison_page(folder: Path, found: Sequence[Findings]) -> str:
    """Return the page of several runs, and write its figures to a folder of their own."""
    album = Album(folder / "figures")
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


def overlay_curves(album: Album, found: Sequence[Findings]) -> list[Picture]:
    """Draw the curves of all runs over each other."""
    pictures = []
    for key, what in (
        ("val_accuracy", "validation accuracy"),
        ("val_loss", "validation loss"),
        ("loss", "training loss"),
        ("learning_rate", "learning rate"),
    ):
        lines = {part.name: column(part.history, key) for part in found}
        lines = {name: values for name, values in lines.items() if any(values)}
        if not lines:
            continue
        figure = figures.draw_lines(lines, what, logarithmic=key != "val_accuracy")
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
    shares = analysis.agreement([part.guesses for part in common])
    lowest = np.unravel_index(shares.argmin(), shares.shape)
    text = (
        f"On how many images each two runs agree; least {names[lowest[0]]} and "
        f"{names[lowest[1]]}, on {percent(shares.min())}."
    )
    return Together(
        note,
        album.add("agreement", figures.draw_agreement(shares, names), text),
        pairs_table(names, common, shares),
        ensemble_sentence(names, common),
    )


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


def pairs_table(names: Sequence[str], common: list[Judged], shares: np.ndarray) -> Table:
    """Return each two runs' agreement, difference, and what their mean gains."""
    rows = []
    for first in range(len(names)):
        for second in range(first + 1, len(names)):
            one, other = common[first], common[second]
            mean = ensemble([one, other])
            gap = analysis.difference(one.correct, other.correct)
            better = one if one.accuracy >= other.accuracy else other
            gain = analysis.difference(mean.correct, better.correct)
            rows.append(
                (
                    Cell(f"{names[first]}, {names[second]}"),
                    Cell(percent(shares[first, second]), float(shares[first, second])),
                    difference_cell(gap),
                    Cell(f"{mean.accuracy:.4f}", mean.accuracy),
                    difference_cell(gain),
                )
            )
    header = ("runs", "agree", "first − second", "accuracy of their mean", "gain over the better")
    return Table("Each two runs", header, rows)


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
    verdict = (
        "more than chance explains"
        if gain.certain and gain.mean > 0
        else "worse than the best alone"
        if gain.certain
        else "within what chance explains"
    )
    return (
        f"The mean of all {len(names)} reaches {mean.accuracy:.4f} (95 %: {low:.4f} to {high:.4f}): "
        f"{100 * gain.mean:+.2f} ± {100 * gain.half:.2f} points beside {names[best]}, the best of "
        f"them, which is {verdict}."
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


# -- all runs


def index_page(layout: Layout, found: Sequence[Findings]) -> str:
    """Return the page of all runs, with links to the pages that are there."""
    links = {
        part.name: f"{quote(part.name)}/report.html"
        for part in found
        if (part.run.folder / "report.html").exists()
    }
    records = {record["file"]: record for part in found for record in part.submissions}
    return render(
        "index.html",
        title="Runs",
        runs=runs_table(found, links),
        comparisons=comparisons_in(layout),
        submissions=submissions_table(list(records.values())),
        data=describe_data(layout),
    )


def comparisons_in(layout: Layout) -> list[str]:
    """Return the names of the folders that hold a comparison."""
    pages = sorted(layout.runs.glob("*/report.html"))
    return [page.parent.name for page in pages if not (page.parent / "recipe.json").exists()]


def runs_table(found: Iterable[Findings], links: dict[str, str]) -> Table:
    """Return a line on each run."""
    header = (
        "run",
        "recipe",
        "validation accuracy",
        "95 % interval",
        "training accuracy",
        "epochs",
        "time",
        "parameters",
        "seed",
        "public score",
    )
    return Table("Runs", header, [run_row(part, links.get(part.name)) for part in found])


def run_row(found: Findings, link: str | None) -> tuple[Cell, ...]:
    """Return a run's cells; those of an unfinished one tell how far it is."""
    metrics = found.metrics
    parameters, seed = metrics.get("parameters"), found.options.get("seed")
    return (
        Cell(found.name, link=link),
        Cell(str(found.recipe.get("name", "unreadable"))),
        *accuracy_cells(metrics),
        accuracy_cell(metrics.get("train_accuracy")),
        epochs_cell(found),
        Cell(duration(seconds_of(found)), seconds_of(found)),
        Cell(f"{parameters:,}", parameters) if parameters else Cell(""),
        Cell(str(seed), seed) if isinstance(seed, int) else Cell(""),
        best_score(found.submissions),
    )


def accuracy_cells(metrics: dict[str, Any]) -> tuple[Cell, Cell]:
    """Return a run's validation accuracy and its interval."""
    if not has_validation(metrics):
        return Cell("trained on all" if metrics else ""), Cell("")
    accuracy = metrics["validation_accuracy"]
    low, high = analysis.wilson_interval(accuracy, metrics["validation_images"])
    return accuracy_cell(accuracy), Cell(f"{low:.4f} – {high:.4f}", low)


def accuracy_cell(accuracy: float | None) -> Cell:
    """Return the cell of an accuracy."""
    return Cell("") if accuracy is None else Cell(f"{accuracy:.4f}", accuracy)


def epochs_cell(found: Findings) -> Cell:
    """Return how many epochs are done, and of how many where the run is not finished."""
    done = len(found.history) or found.metrics.get("epochs", 0)
    if found.run.finished:
        return Cell(str(done), done)
    return Cell(f"{done} of {found.recipe.get('epochs', '?')}, unfinished", done)


def best_score(records: list[dict[str, Any]]) -> Cell:
    """Return the highest public score of the submissions that a run predicted alone."""
    cells = [score_cell(r.get("public_score")) for r in records if len(r.get("runs", [])) == 1]
    scored = [cell for cell in cells if cell.value is not None]
    return max(scored, key=lambda cell: cell.value or 0) if scored else Cell("")


# -- rendering


def render(template: str, **content: Any) -> str:
    """Return a page; everything it needs stands in it."""
    return environment().get_template(template).render(version=__version__, **content)


@functools.cache
def environment() -> Any:
    """Return the templates: text is escaped, and a name that is missing is an error."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("kaggle_cifar.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
