"""The results of a search: its table, its figures and its best recipe."""

import dataclasses
import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kaggle_cifar.console import say, table
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths, write_record, write_text
from kaggle_cifar.ownership import MARK, ForeignPathError, read_record, regular_file, sha256
from kaggle_cifar.search.plots import draw_importances, draw_optimisation, draw_trials
from kaggle_cifar.search.search_space import Setting, Space
from kaggle_cifar.training.run import Run

LONGEST_LABEL = 4  # keys; trials with more are labelled by their names

Trials = dict[str, tuple[Setting, str | None]]  # settings by the run's name, and errors


class NoResultError(UserError):
    """No trial of a search reached a result."""


def save_results(project: ProjectPaths, name: str, space: Space, trials: Trials) -> Run:
    """Write the figures, the results and the best recipe; print the table; return the best run."""
    import pandas as pd

    folder = project.runs / name
    finished = finished_trials(project, trials)
    if not finished:
        raise NoResultError(f"No trial of the search {name} reached a result.")
    best = max(finished, key=Run.read_validation_accuracy)
    draw_figures(folder / "figures", space, finished)
    rows = [
        {"run": run.name, **result_of(run), **{key: setting[key] for key in space.varied_keys}}
        for run, setting in finished.items()
    ]
    recipe, _ = best.read_recipe()
    texts = {
        "best_recipe.json": json.dumps(dataclasses.asdict(recipe), indent=2) + "\n",
        "results.csv": pd.DataFrame(rows).to_csv(index=False),
    }
    write_results(folder, name, texts)
    header = [key.rpartition(".")[2].replace("_", " ") for key in rows[0]]
    say(table(header, [list(map(cell, row.values())) for row in rows]))
    command = project.command("train", folder / "best_recipe.json")
    say(f"Best trial: {best.name}. Run `{command}` to train its recipe.")
    return best


def finished_trials(project: ProjectPaths, trials: Trials) -> dict[Run, Setting]:
    """Return the setting of each trial with a result; print why another has none."""
    finished = {}
    for trial, (setting, error) in trials.items():
        run = Run(project.runs / trial)
        if run.finished:
            finished[run] = setting
        else:
            say(f"{trial} has no result: {error or 'it was stopped before the end of an epoch'}.")
    return finished


def write_results(folder: Path, name: str, texts: dict[str, str]) -> None:
    """Write the files of a search's results.

    Raises
    ------
    ForeignPathError
        If one of the files was changed since this program wrote it.
    """
    written = read_record(folder / MARK, "search").get("results", {})
    digests = {file: hashlib.sha256(text.encode()).hexdigest() for file, text in texts.items()}
    for file, digest in digests.items():
        path = folder / file
        found = sha256(regular_file(path)) if path.exists() else digest
        if found not in (digest, written.get(file)):
            raise ForeignPathError(
                path,
                f"{path} was changed since this program wrote it, so it is not replaced. Move it "
                "away and run the search again. Finished trials are not trained again.",
            )
    for file, text in texts.items():
        write_text(folder / file, text)
    write_record(folder / MARK, "search", {"name": name, "results": digests})


def draw_figures(folder: Path, space: Space, finished: dict[Run, Setting]) -> None:
    """Write the figures of a search: the learning curves, the best so far, the importances."""
    runs, settings = list(finished), list(finished.values())
    names = [run.name for run in runs]
    accuracies = [run.read_validation_accuracy() for run in runs]
    labels = trial_labels(space, names, settings)
    draw_trials(labels, [run.read_history() for run in runs], folder / "trials.png")
    draw_optimisation(names, accuracies, folder / "optimisation_history.png")
    if find_spec("optuna"):
        from kaggle_cifar.search.optuna_space import key_importances

        if shares := key_importances(space, settings, accuracies):
            draw_importances(shares, folder / "parameter_importance.png")


def trial_labels(space: Space, names: list[str], settings: list[Setting]) -> list[str]:
    """Return a trial's setting if it is short, else its name, for a figure's legend."""
    if len(space.varied_keys) > LONGEST_LABEL:
        return names
    return [setting_text({key: one[key] for key in space.varied_keys}) for one in settings]


def result_of(run: Run) -> dict[str, Any]:
    """Return a trial's accuracy at its end and in its best epoch, and its time."""
    metrics, accuracy = run.read_metrics(), run.read_validation_accuracy()
    reached = [row["val_accuracy"] for row in run.read_history()]
    return {
        "validation_accuracy": accuracy,
        "highest_of_an_epoch": max((a for a in reached if a is not None), default=accuracy),
        "trained_epochs": metrics["epochs"],
        "seconds": round(metrics["seconds"]),
    }


def setting_text(setting: Setting) -> str:
    """Return a setting on one line."""
    return ", ".join(f"{key.replace('_', ' ')} {cell(value)}" for key, value in setting.items())


def cell(value: Any) -> str:
    """Return a value for the table; numbers with four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
