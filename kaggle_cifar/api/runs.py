"""Runs: what a training left on disk, with its metrics, curves and predictions."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kaggle_cifar.api.arguments import require_type
from kaggle_cifar.api.display import Page, html_table, shown_once, without_traceback
from kaggle_cifar.api.folders import current_project
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.training.run import Run as RunFolder
from kaggle_cifar.training.run import RunUnfinishedError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from kaggle_cifar.api.submissions import Submission
    from kaggle_cifar.evaluation.metrics import Predictions

GALLERY = 24  # images


class RunGoneError(UserError):
    """The folder of a run is no longer there; `folder` is its path."""

    def __init__(self, folder: Path, state: str | None) -> None:
        super().__init__(
            f"The run {folder.name} is still on Kaggle ({state}). Call train with "
            'on="kaggle" again to download it.'
            if state
            else f"{folder} is missing. It was moved, renamed or deleted. Restore it, call "
            "set_folders if the runs are in another folder, or train the run again."
        )
        self.folder = folder


class Run:
    """A run: a trained recipe with everything that the training left in its folder.

    `train` and `find_run` return it. A notebook shows it as a table.

    Examples
    --------
    >>> import kaggle_cifar as kc
    >>> run = kc.find_run("model1")
    >>> run.name, run.finished
    ('model1', True)
    >>> run.metrics["epochs"]
    1
    >>> list(run.history)[:3]
    ['epoch', 'loss', 'accuracy']
    >>> run.recipe.network
    'model1'
    """

    def __init__(self, run: RunFolder, project: ProjectPaths) -> None:
        self._run, self._project = run, project

    @property
    def name(self) -> str:
        """The run's name."""
        return self._run.name

    @property
    def folder(self) -> Path:
        """The folder of the run's files."""
        return self._run.folder

    @property
    def finished(self) -> bool:
        """Whether the training has ended and all its files are written."""
        return self._run.finished

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics of the finished run, such as `validation_accuracy`."""
        return self._finished().read_metrics()

    @property
    def history(self) -> "pd.DataFrame":
        """A row for each epoch so far: loss, accuracy, learning rate, seconds."""
        import pandas as pd

        from kaggle_cifar.training.history import COLUMNS

        return pd.DataFrame(self._existing().read_history(), columns=list(COLUMNS))

    @property
    def recipe(self) -> Recipe:
        """The recipe that was trained."""
        return self._existing().read_recipe()[0]

    @without_traceback
    def plot_curves(self) -> "Figure":
        """Return a figure of accuracy and loss over the epochs.

        Examples
        --------
        >>> import kaggle_cifar as kc
        >>> figure = kc.find_run("model1").plot_curves()
        >>> [axes.get_ylabel() for axes in figure.axes]
        ['accuracy', 'loss']
        """
        from kaggle_cifar.evaluation.plots import draw_curves

        history = self._existing().read_history()
        if not history:
            raise UserError(f"The run {self.name} has no epochs yet, so there are no curves.")
        return shown_once(draw_curves(history, self.name))

    @without_traceback
    def plot_confusion(self) -> "Figure":
        """Return a figure of the confusion matrix of the validation images.

        Examples
        --------
        >>> import kaggle_cifar as kc
        >>> kc.find_run("model1").plot_confusion().axes[0].get_ylabel()
        'label'
        """
        from kaggle_cifar.evaluation.metrics import confusion_matrix
        from kaggle_cifar.evaluation.plots import draw_confusion

        return shown_once(draw_confusion(confusion_matrix(self._predictions())))

    @without_traceback
    def plot_gallery(self) -> "Figure":
        """Return a figure of the validation images with the most confident mistakes.

        Examples
        --------
        >>> import kaggle_cifar as kc
        >>> figure = kc.find_run("model1").plot_gallery()
        """
        from kaggle_cifar.competition import CLASS_NAMES
        from kaggle_cifar.data.images import read_images
        from kaggle_cifar.evaluation.metrics import confident_mistakes
        from kaggle_cifar.evaluation.plots import draw_gallery

        found = self._predictions()
        rows = confident_mistakes(found, GALLERY)
        if not len(rows):
            raise UserError(f"The run {self.name} made no mistake on its validation images.")
        [images] = read_images(self._project, "train", found.ids[rows], GALLERY)
        captions = [
            f"{CLASS_NAMES[found.classes[row]]} {found.confidences[row]:.0%}\n"
            f"label: {CLASS_NAMES[found.labels[row]]}"
            for row in rows
        ]
        return shown_once(draw_gallery(images, captions))

    @without_traceback
    def report(self) -> Page:
        """Write the HTML page about this run and the page of all runs.

        Returns
        -------
        Page
            The page's path, which a notebook shows as the page itself.

        Examples
        --------
        >>> import kaggle_cifar as kc
        >>> str(kc.find_run("model1").report())
        'runs/model1/report.html'
        """
        from kaggle_cifar.report.report import report

        report(self._project, [self._existing()])
        return Page(self.folder / "report.html")

    @without_traceback
    def classify(self, picture: str | os.PathLike[str]) -> "pd.Series[float]":
        """Return the probability of each class for a picture, the likeliest first.

        The picture may have any size and most formats; HEIC requires pillow-heif. Its central
        square is scaled to 32 x 32 pixels.

        Parameters
        ----------
        picture
            Path of the picture.

        Examples
        --------
        >>> import kaggle_cifar as kc
        >>> probabilities = kc.find_run("model1").classify("data/train/1.png")
        >>> len(probabilities), round(probabilities.sum())
        (10, 1)
        """
        import pandas as pd

        from kaggle_cifar.competition import CLASS_NAMES
        from kaggle_cifar.prediction.classify import classify
        from kaggle_cifar.prediction.pictures import read_picture

        require_type("picture", picture, str | os.PathLike, "the path of a picture")
        run = self._finished()
        [result] = classify(run, [read_picture(Path(picture))])
        names = [CLASS_NAMES[index] for index in result.order]
        values = result.probabilities[result.order].astype(float)
        return pd.Series(values, names, name="probability")

    @without_traceback
    def export(self, folder: str | os.PathLike[str] | None = None) -> Path:
        """Export the model as SavedModel and ONNX, for other programs; return the folder.

        Both formats take pixels from 0 to 255 and return the probabilities of the ten classes. ONNX
        requires tf2onnx.

        Parameters
        ----------
        folder
            Folder of the export, by default `runs/<name>/export`.

        Examples
        --------
        >>> import kaggle_cifar as kc
        >>> folder = kc.find_run("model1").export()
        >>> (folder / "classes.txt").exists()
        True
        """
        from kaggle_cifar.prediction.export import export

        require_type("folder", folder, str | os.PathLike | None, "a path")
        target = self.folder / "export" if folder is None else Path(folder)
        export(self._project, self._finished(), target)
        return target

    @without_traceback
    def predict(
        self,
        *,
        tta: bool | Literal["full"] = False,
        output: str | os.PathLike[str] | None = None,
    ) -> "Submission":
        """Predict the test images with this run; the parameters are those of `predict`.

        Examples
        --------
        >>> import kaggle_cifar as kc
        >>> str(kc.find_run("model1").predict().path)
        'submissions/model1.csv'
        """
        from kaggle_cifar.api.submissions import predict_with

        return predict_with(self._project, [self], tta, False, output)

    def require_folder(self) -> RunFolder:
        """Return the run's files, or raise a RunGoneError if its folder vanished."""
        return self._existing()

    def _existing(self) -> RunFolder:
        self._run.require_description()
        if not self._run.description_file.exists():
            from kaggle_cifar.remote.sessions import read_session, remote_run

            session = read_session(remote_run(self._project, self.name))
            raise RunGoneError(self.folder, session.state if session else None)
        return self._run

    def _finished(self) -> RunFolder:
        run = self._existing()
        if not run.has_result:
            raise RunUnfinishedError(self.name)
        return run

    def _predictions(self) -> "Predictions":
        from kaggle_cifar.report.reading import Findings, read_validation
        from kaggle_cifar.training.run_summary import read_run_summary

        run = self._finished()
        return read_validation(self._project, Findings(**vars(read_run_summary(run))))

    def _cells(self) -> list[tuple[str, str]]:
        """Return what the run is, as pairs of a label and a text."""
        from kaggle_cifar.training.run_summary import read_run_summary
        from kaggle_cifar.training.run_table import HEADER, run_cells

        cells = run_cells(read_run_summary(self._existing()))
        return [pair for pair in zip(HEADER, cells, strict=True) if pair[1]]

    def __repr__(self) -> str:
        try:
            return f"Run({', '.join(f'{label}: {text}' for label, text in self._cells())})"
        except UserError as error:
            return f"Run({self.name!r}: {error})"

    def _repr_html_(self) -> str:
        try:
            return html_table([*self._cells(), ("folder", str(self.folder))])
        except UserError as error:
            return html_table([("run", self.name), ("error", str(error))])


@without_traceback
def find_run(name: str) -> Run:
    """Return the run with that name.

    Parameters
    ----------
    name
        Name of the run, which is that of its folder.

    Raises
    ------
    UserError
        If there is no such run.

    Examples
    --------
    >>> import kaggle_cifar as kc
    >>> kc.find_run("model1").finished
    True
    """
    from kaggle_cifar.training import find_runs

    require_type("name", name, str, "the name of a run")
    project = current_project()
    return Run(find_runs.find_run(project, name), project)


@without_traceback
def runs() -> "pd.DataFrame":
    """Return the table of all runs, in the order in which they were started.

    It has the recipe, the seed, the accuracies, the seconds of training, the 95 % interval of the
    score to expect, and the scores of the best submission that the run predicted alone, with the
    rank that it would have on Kaggle's leaderboard.

    Examples
    --------
    >>> import kaggle_cifar as kc
    >>> table = kc.runs()
    >>> bool(table.loc["model1", "finished"])
    True
    """
    import pandas as pd

    from kaggle_cifar.report.ledger import RUN_COLUMNS, run_values

    rows, _ = run_values(current_project())
    return pd.DataFrame(rows, columns=list(RUN_COLUMNS)).set_index("run")
