"""Hyper-parameter search: changed recipes, each trained as a run of its own, and the best."""

import dataclasses
import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kaggle_cifar.errors import UserError
from kaggle_cifar.figures import draw_trials
from kaggle_cifar.ledger import table
from kaggle_cifar.progress import say
from kaggle_cifar.recipes import Recipe, model3
from kaggle_cifar.runs import Run, RunOptions, named_run
from kaggle_cifar.storage import Layout, lock, read_json, write_json, write_text
from kaggle_cifar.training import train

# The student project's grid, for Model 3.
GRID: dict[str, list[Any]] = {
    "batch_size": [32, 64],
    "epochs": [10, 20],
    "learning_rate": [0.001, 0.01],
    "optimizer": ["adam", "rmsprop"],
}
DRAW_SEED = 42


def draw_from_grid(trials: int) -> list[dict[str, Any]]:
    """Return `trials` of the grid's 16 settings, the very ones that the student project drew.

    It drew five with `random.seed(42)` and `random.sample` from scikit-learn's `ParameterGrid`,
    which sorts the names and varies the last one fastest. Its text calls 20 epochs at batch 32
    and rate 0.01 the best line of its figure: its code never drew that setting. By matplotlib's
    order of colours the red line, which it means, would be (32, 20, 0.001, adam).
    """
    settings = [
        dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())
    ]
    return random.Random(DRAW_SEED).sample(settings, trials)


def trial_recipe(setting: dict[str, Any]) -> Recipe:
    """Return Model 3 with a setting: no callbacks, Keras 2's RMSprop with a decay of 1e-6."""
    name = "model3," + ",".join(f"{key}={value}" for key, value in setting.items())
    legacy = setting["optimizer"] == "rmsprop"
    return dataclasses.replace(
        model3(),
        **{**setting, "optimizer": "legacy-rmsprop" if legacy else setting["optimizer"]},
        name=name,
        decay=1e-6 if legacy else 0.0,
        early_stopping=None,
        plateau=None,
    )


def search(layout: Layout, name: str, trials: int, options: RunOptions) -> Run:
    """Train the trials one after the other and return the one with the highest accuracy.

    They are the runs `name`-trial1, -trial2, …; `runs/name` gets the table, the figure and the
    best trial's recipe. Called again, it goes on where it was.

    Raises as `training.train`, and UserError when `name` is a search with other settings.
    """
    settings = draw_from_grid(trials)
    folder = named_run(layout, name).folder
    with lock(folder, "search"):
        describe_search(folder, settings, options)
        options = dataclasses.replace(options, search=name)
        runs = []
        for number, setting in enumerate(settings, start=1):
            say(f"Trial {number} of {trials}: {describe(setting)}")
            trial = f"{name}-trial{number}"
            runs.append(train(layout, trial_recipe(setting), trial, options))
        return report(folder, settings, runs)


def describe_search(folder: Path, settings: list[dict[str, Any]], options: RunOptions) -> None:
    """Write search.json, or hold the settings against those that the search began with."""
    content = {"settings": settings, "options": dataclasses.asdict(options)}
    file = folder / "search.json"
    if not file.exists():
        write_json(file, content)
    elif read_json(file) != content:
        raise UserError(
            f"The search {folder} began with other trials or options, which {file} tells. Give "
            "those to go on with it, or choose another --name."
        )


def describe(setting: dict[str, Any]) -> str:
    """Return a setting in words."""
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in setting.items())


def report(folder: Path, settings: list[dict[str, Any]], runs: Sequence[Run]) -> Run:
    """Write the figure, the results and the best recipe; print the table; return the best run."""
    import pandas as pd

    draw_trials(
        {
            describe(setting): run.read_history()
            for setting, run in zip(settings, runs, strict=True)
        },
        folder / "figures" / "trials.png",
    )
    best = max(runs, key=lambda run: run.read_metrics()["validation_accuracy"])
    recipe, _ = best.read_recipe()
    write_json(folder / "best_recipe.json", dataclasses.asdict(recipe))
    results = [
        {"run": run.name, **setting, **result_of(run)}
        for setting, run in zip(settings, runs, strict=True)
    ]
    write_text(folder / "results.csv", pd.DataFrame(results).to_csv(index=False))
    header = [key.replace("_", " ") for key in results[0]]
    say(table(header, [list(map(cell, row.values())) for row in results]))
    say(f"The best is {best.name}. Train it: kaggle-cifar train {folder / 'best_recipe.json'}")
    return best


def result_of(run: Run) -> dict[str, Any]:
    """Return the accuracy that a trial reached at its end and in its best epoch, and its time."""
    metrics = run.read_metrics()
    return {
        "validation_accuracy": metrics["validation_accuracy"],
        "highest_of_an_epoch": max(row["val_accuracy"] for row in run.read_history()),
        "seconds": round(metrics["seconds"]),
    }


def cell(value: Any) -> str:
    """Return a value for the table; rates and accuracies with four digits."""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
