"""Hyper-parameter search: changed recipes, each trained as a run of its own, and the best."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_cifar.console import LiveTable, say, table
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths, lock, read_json, write_json, write_record, write_text
from kaggle_cifar.ownership import (
    MARK,
    ForeignPathError,
    read_record,
    regular_file,
    require_own_folder,
    sha256,
)
from kaggle_cifar.search.cluster import Cluster, require_ray, run_tasks
from kaggle_cifar.search.plots import draw_importances, draw_optimisation, draw_trials
from kaggle_cifar.search.search_space import Draw, Setting, Space
from kaggle_cifar.training.find_runs import named_run
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.run_table import progress_table
from kaggle_cifar.training.train import end_early, train

if TYPE_CHECKING:
    from kaggle_cifar.search.ray_tune import SearchConfig

WITHOUT_RAY = (
    "The trials are trained one after the other. With pip install 'kaggle-cifar[search]', they "
    "run at once on all cores, GPUs and nodes, and --sampler tpe chooses them by what was learnt "
    "and stops the worse ones early."
)

Trials = dict[str, tuple[Setting, str | None]]  # settings by the run's name, and what failed


def search(
    project: ProjectPaths,
    name: str,
    space: Space | Draw,
    sampler: str,
    trials: int,
    options: RunOptions,
    cluster: Cluster,
    time_budget: float | None = None,
) -> Run:
    """Train the trials of a search and return the run with the highest accuracy.

    They are the runs `name`-trial1, -trial2, …; `runs/name` gets the table, the figures and the
    best trial's recipe. Called again, it goes on where it was.

    Without Ray, the student project's draw is trained one trial after the other.

    Raises as `training.train`; ForeignPathError when `runs/name` holds anything but a search;
    UserError when `name` is a search with other settings, when every trial failed, or the cluster
    is unfit.
    """
    folder = named_run(project, name).folder
    with lock(folder, "search"):
        require_own_folder(folder, "search")
        if not read_record(folder / MARK, "search"):
            write_record(folder / MARK, "search", {"name": name})
        describe_search(folder, space, sampler, trials, options)
        options = dataclasses.replace(options, search=name)
        if isinstance(space, Draw) and not cluster.address and not find_spec("ray"):
            say(WITHOUT_RAY)
            found = train_in_turn(project, name, space, options)
        else:
            require_ray()
            from kaggle_cifar.search.ray_tune import SearchConfig

            plan = SearchConfig(project.absolute(), name, space, sampler, trials, options)
            found = train_on_ray(plan, cluster, time_budget)
        return report(project, name, space, found)


def describe_search(
    folder: Path, space: Space | Draw, sampler: str, trials: int, options: RunOptions
) -> None:
    """Write search.json, or hold the search against the one that it tells of."""
    content = {
        "sampler": sampler,
        "trials": trials,
        "space": space.content,
        "recipe": dataclasses.asdict(space.recipe),
        "options": dataclasses.asdict(options),
    }
    file = folder / "search.json"
    if not file.exists():
        write_json(file, content)
    elif read_json(file) != json.loads(json.dumps(content)):
        raise UserError(
            f"The search {folder} began with other trials or options, which {file} tells. Give "
            "those to go on with it, or choose another --name."
        )


def train_in_turn(project: ProjectPaths, name: str, draw: Draw, options: RunOptions) -> Trials:
    """Train one trial after the other in this process."""
    found: Trials = {}
    for number, setting in enumerate(draw.settings, start=1):
        say(f"Trial {number} of {len(draw.settings)}: {describe(setting)}")
        trial = f"{name}-trial{number}"
        train(project, draw.apply(setting, trial), trial, options)
        found[trial] = setting, None
    return found


def train_on_ray(plan: "SearchConfig", cluster: Cluster, time_budget: float | None) -> Trials:
    """Train as many trials at once as there is room for; measure those that were stopped."""
    from kaggle_cifar.search.ray_tune import run_trials

    live = LiveTable()
    show = functools.partial(show_trials, plan.project, live)
    with cluster.connected(plan.project) as share:
        found = run_trials(plan, share, time_budget, show, live.say)
        runs = [Run(plan.project.runs / trial) for trial in found]
        stopped = [run for run in runs if not run.finished and run.read_history()]
        if stopped:
            live.say(f"Stopped early: {len(stopped)}. Measuring what they reached.")
        tasks = {run.name: (end_early, (plan.project, run)) for run in stopped}
        run_tasks(tasks, share, lambda: show(list(found)), live.say)
    live.clear()
    return found


def show_trials(project: ProjectPaths, live: LiveTable, names: Sequence[str]) -> None:
    """Show how the trials of these names stand."""
    live.show(lambda: progress_table([Run(project.runs / name) for name in names]))


def describe(setting: Setting) -> str:
    """Return a setting in words."""
    return ", ".join(f"{key.replace('_', ' ')} {cell(value)}" for key, value in setting.items())


def report(project: ProjectPaths, name: str, space: Space | Draw, trials: Trials) -> Run:
    """Write the figures, the results and the best recipe; print the table; return the best run."""
    import pandas as pd

    folder = project.runs / name
    rows, runs, settings = [], [], []
    for trial, (setting, error) in trials.items():
        run = Run(project.runs / trial)
        if run.finished:
            runs.append(run)
            settings.append(setting)
            rows.append({"run": trial, **result_of(run), **varied(space, setting)})
        else:
            say(f"{trial} has no result: {error or 'it was stopped before the end of an epoch'}.")
    if not rows:
        raise UserError(f"No trial of the search {name} reached a result.")
    best = max(runs, key=Run.read_validation_accuracy)
    draw(folder / "figures", space, runs, settings)
    recipe, _ = best.read_recipe()
    write_results(
        folder,
        name,
        {
            "best_recipe.json": json.dumps(dataclasses.asdict(recipe), indent=2) + "\n",
            "results.csv": pd.DataFrame(rows).to_csv(index=False),
        },
    )
    header = [key.rpartition(".")[2].replace("_", " ") for key in rows[0]]
    say(table(header, [list(map(cell, row.values())) for row in rows]))
    say(f"The best is {best.name}. Train it: kaggle-cifar train {folder / 'best_recipe.json'}")
    return best


def write_results(folder: Path, name: str, texts: dict[str, str]) -> None:
    """Write a search's files of results, unless somebody has changed one.

    Raises
    ------
    ForeignPathError
        When a file that is there is not as this program wrote it.
    """
    written = read_record(folder / MARK, "search").get("results", {})
    digests = {file: hashlib.sha256(text.encode()).hexdigest() for file, text in texts.items()}
    for file, digest in digests.items():
        path = folder / file
        found = sha256(regular_file(path)) if path.exists() else digest
        if found not in (digest, written.get(file)):
            raise ForeignPathError(
                path,
                f"{path} was changed since this program wrote it, so it is left as it is. Move it "
                "away and run the search again: its trials are not trained again.",
            )
    for file, text in texts.items():
        write_text(folder / file, text)
    write_record(folder / MARK, "search", {"name": name, "results": digests})


def varied(space: Space | Draw, setting: Setting) -> Setting:
    """Return what a setting has of the keys that have several values."""
    fixed = {key for key, values in space.choices.items() if len(values) == 1}
    return {key: value for key, value in setting.items() if key not in fixed}


def draw(
    folder: Path, space: Space | Draw, runs: Sequence[Run], settings: Sequence[Setting]
) -> None:
    """Write the figures of a search: all courses, the best so far, what matters."""
    names = [run.name for run in runs]
    labels = list(map(describe, settings)) if isinstance(space, Draw) else names
    histories = [run.read_history() for run in runs]
    draw_trials(dict(zip(labels, histories, strict=True)), folder / "trials.png")
    accuracies = [run.read_validation_accuracy() for run in runs]
    draw_optimisation(names, accuracies, folder / "optimisation_history.png")
    if find_spec("optuna"):
        from kaggle_cifar.search.ray_tune import importances

        if shares := importances(space, settings, accuracies):
            draw_importances(shares, folder / "parameter_importance.png")


def result_of(run: Run) -> dict[str, Any]:
    """Return the accuracy that a trial reached at its end and in its best epoch, and its time."""
    metrics, accuracy = run.read_metrics(), run.read_validation_accuracy()
    reached = [row["val_accuracy"] for row in run.read_history()]
    return {
        "validation_accuracy": accuracy,
        "highest_of_an_epoch": max((a for a in reached if a is not None), default=accuracy),
        "trained_epochs": metrics["epochs"],
        "seconds": round(metrics["seconds"]),
    }


def cell(value: Any) -> str:
    """Return a value for the table; numbers with four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
