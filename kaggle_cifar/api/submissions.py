"""Predictions and submissions: predict the test images, check the CSV, score it, submit it."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kaggle_cifar.api.arguments import check_device, require_flags, require_type, use_device
from kaggle_cifar.api.display import html_table, without_traceback
from kaggle_cifar.api.folders import current_project
from kaggle_cifar.api.runs import Run
from kaggle_cifar.console import say
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.submission.outcome import WAIT_SECONDS
from kaggle_cifar.training.run import Run as RunFolder

if TYPE_CHECKING:
    from kaggle_cifar.submission.leaderboard import Standing


class Submission:
    """A CSV with a class for each test image.

    `predict` returns it. A notebook shows it as a table, with its scores compared with the expected
    one.

    Parameters
    ----------
    path
        Path of a CSV, which another program may have written.

    Examples
    --------
    >>> import kaggle_cifar as kc
    >>> submission = kc.Submission("submissions/model1.csv")
    >>> submission.check()
    110
    >>> sorted(submission.score("data/raw/solution.csv"))
    ['overall', 'private', 'public']
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        require_type("path", path, str | os.PathLike, "the path of a CSV")
        self._path, self._project = Path(path), current_project()

    @property
    def path(self) -> Path:
        """The path of the CSV."""
        return self._path

    @property
    def scores(self) -> dict[str, float]:
        """Kaggle's public and private score, as far as they are known."""
        record = self._record()
        found = {part: record.get(f"{part}_score") for part in ("public", "private")}
        return {part: float(score) for part, score in found.items() if score}

    @property
    def standing(self) -> "Standing | None":
        """Where the score would stand on Kaggle's leaderboard; None if that is unknown.

        It has the `rank` among the `teams` and the `gap` to the first.
        """
        from kaggle_cifar.submission.leaderboard import read_leaderboard, standing_of

        return standing_of(self._record(), read_leaderboard(self._project.submissions))

    @without_traceback
    def check(self) -> int:
        """Check whether Kaggle will accept the CSV; return its number of rows.

        Anything that Kaggle may reject is printed as a warning.

        Raises
        ------
        UserError
            If Kaggle would reject the file; it lists every fault.
        """
        from kaggle_cifar.submission.validate import require_valid

        return require_valid(self.path, self._project).rows

    @without_traceback
    def score(self, solution: str | os.PathLike[str]) -> dict[str, float]:
        """Return the accuracy by a solution: overall, public and private.

        Parameters
        ----------
        solution
            Path of a CSV with the columns id,label,Usage.
        """
        from kaggle_cifar.submission.score import accuracy

        require_type("solution", solution, str | os.PathLike, "the path of a CSV")
        found = accuracy(self.path, Path(solution))
        parts = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
        return {name: part.value for name, part in parts.items() if part.count}

    @without_traceback
    def submit(
        self, message: str | None = None, *, wait: bool = False, again: bool = False
    ) -> "Submission":
        """Check the CSV, submit it once and record Kaggle's answer; return this submission.

        The same content is never submitted twice unless `again` is true.

        Parameters
        ----------
        message
            Description of the submission, by default the file's name.
        wait
            Whether to wait for the scores and record them.
        again
            Whether to submit a file even if it was or may have been submitted.

        Raises
        ------
        UserError
            If Kaggle refuses the file or cannot be reached.

        Examples
        --------
        >>> import kaggle_cifar as kc
        >>> submission = kc.Submission("submissions/model1.csv")
        >>> sorted(submission.submit("first try", wait=True).scores)
        ['private', 'public']
        """
        from kaggle_cifar.submission.submit import submit

        require_type("message", message, str | None, "text")
        require_flags(wait=wait, again=again)
        seconds = WAIT_SECONDS if wait else None
        submit(self.path, self._project, message, seconds, again=again)
        return self

    def _record(self) -> dict[str, Any]:
        from kaggle_cifar.submission.record import digest_of, read_record

        record = read_record(self.path)
        return record if record.get("sha256") == digest_of(self.path) else {}

    def _cells(self) -> list[tuple[str, str]]:
        from kaggle_cifar.report.expectations import Expectations
        from kaggle_cifar.report.submission_ledger import submission_rows

        entry = {"file": self.path.name, **self._record()}
        [row] = submission_rows(Expectations.read(self._project), [entry])
        pairs = [
            ("submission", str(self.path)),
            ("runs", row.runs),
            ("state", row.state),
            ("expected score", row.expected_cell.text),
            ("public score", row.public_score),
            ("private score", row.private_score),
            ("rank", row.rank_cell.text),
            ("gap to first", row.gap_cell.text),
        ]
        return [pair for pair in pairs if pair[1]]

    def __repr__(self) -> str:
        if not self.path.exists():
            return f"Submission({str(self.path)!r}: the file is missing)"
        return f"Submission({', '.join(f'{label}: {text}' for label, text in self._cells())})"

    def _repr_html_(self) -> str:
        if not self.path.exists():
            return html_table([("submission", str(self.path)), ("state", "the file is missing")])
        return html_table(self._cells())


@without_traceback
def predict(
    *runs: Run | str,
    tta: bool | Literal["full"] = False,
    weighted: bool = False,
    output: str | os.PathLike[str] | None = None,
    device: Literal["cpu"] | None = None,
) -> Submission:
    """Predict the test images and write a CSV.

    Several runs form an ensemble: their probabilities are averaged, and the gain on the validation
    images is printed. Stored probabilities are reused.

    Parameters
    ----------
    runs
        Runs or their names, by default the newest finished run.
    tta
        Whether to use test-time augmentation, which is more accurate: True for the
        images that the network is unsure of, "full" for all images.
    weighted
        Whether to fit the weights of the ensemble to the validation images.
    output
        Path of the new CSV, by default `submissions/<runs>.csv`.
    device
        "cpu" to predict on the CPU even if there is a GPU. It holds until Python ends.

    Raises
    ------
    UserError
        If a run is unfinished, the path is taken by a file that is not to be replaced, or
        TensorFlow cannot use the GPU that the machine has.

    Examples
    --------
    >>> import kaggle_cifar as kc
    >>> kc.predict("model1-seed0", "model1-seed1").path.name
    'model1-seed0+model1-seed1.csv'
    """
    check_device(device)
    use_device(device)
    return predict_with(current_project(), runs, tta, weighted, output)


def predict_with(
    project: ProjectPaths,
    runs: Sequence[Run | str],
    tta: bool | Literal["full"],
    weighted: bool,
    output: str | os.PathLike[str] | None,
) -> Submission:
    """Predict with these runs, or with the newest if there are none."""
    from kaggle_cifar.training.find_runs import DuplicateRunError, chosen_runs, find_run

    require_flags(weighted=weighted)
    if tta != "full":
        require_type("tta", tta, bool, 'True, False or "full"')
    require_type("output", output, str | os.PathLike | None, "a path")
    for run in runs:
        require_type("run", run, Run | str, "a Run or the name of one")
    chosen = [
        find_run(project, run) if isinstance(run, str) else run.require_folder() for run in runs
    ]
    for one in chosen:
        if chosen.count(one) > 1:
            raise DuplicateRunError(one.name)
    path = None if output is None else Path(output)
    views = "tta" if tta else "plain"
    chosen = chosen or chosen_runs(project, [])
    return Submission(write_predictions(project, chosen, views, tta != "full", weighted, path))


def write_predictions(
    project: ProjectPaths,
    runs: list[RunFolder],
    views: str,
    adaptive: bool,
    weighted: bool,
    output: Path | None,
) -> Path:
    """Predict the test images with runs as `predict.predict` does and write a CSV; return its path.

    The weights of a weighted ensemble are fitted to the validation images in all views.
    """
    from kaggle_cifar.prediction.ensemble import describe_gain, weigh
    from kaggle_cifar.prediction.predict import kept_threshold, predict
    from kaggle_cifar.submission.write import choose_output, origin_of, write_submission

    names = [run.name for run in runs]
    path = choose_output(project, names, views, weighted, output)
    weights = weigh(project, runs, views) if weighted else None
    if len(runs) > 1:
        say(describe_gain(project, runs, views, weights))
    ids, probabilities = predict(project, runs, views, weights, adaptive)
    origin = origin_of(runs, views, weights)
    if views == "tta":
        origin["tta_thresholds"] = [kept_threshold(project, run) for run in runs]
    write_submission(path, ids, probabilities.argmax(axis=1), names, **origin)
    return path
