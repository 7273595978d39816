"""The commands: thin, and heavy imports only inside a command."""

import dataclasses
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from kaggle_cifar import __version__, recipes
from kaggle_cifar.competition import CLASS_NAMES, TRAIN_COUNT
from kaggle_cifar.console import duration, printable, say
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.training.run import (
    LARGEST_SEED,
    LONGEST_BUDGET,
    VALIDATION_SPLITS,
    RunOptions,
    is_validation,
)

PATH = click.Path(path_type=Path)
SEED = click.IntRange(0, LARGEST_SEED)
EPOCHS = click.IntRange(1, recipes.MOST_EPOCHS)
LIMIT = click.IntRange(len(CLASS_NAMES), TRAIN_COUNT)
MOST_RUNS = 1000  # of a search or of one recipe's seeds
WAIT_SECONDS = 600.0  # Kaggle scores 300,000 rows in well under a minute


class Commands(click.Group):
    """The group of commands; in its help they stand in the order in which one uses them."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names in the order of this file."""
        return list(self.commands)


class RecipeName(click.ParamType):
    """The name of a recipe or its JSON file, given to the command as the recipe."""

    name = "recipe"

    def convert(self, value: Any, param: Any, context: Any) -> Recipe:
        """Return the recipe, or end with a usage error that lists those there are."""
        if isinstance(value, Recipe):
            return value
        try:
            return recipes.find_recipe(value)
        except UserError as error:
            self.fail(str(error), param, context)


def cluster_options(command: Any) -> Any:
    """Add the options that say where many trainings run."""
    for option in (
        click.option("--gpus", type=click.FloatRange(min=0), help="GPUs of a training, as 0.5."),
        click.option("--cpus", type=click.IntRange(min=1), help="Cores of a training."),
        click.option(
            "--address",
            envvar="RAY_ADDRESS",
            help="A Ray cluster's, like 10.0.0.1:6379; local: this machine.  [env: RAY_ADDRESS]",
        ),
    ):
        command = option(command)
    return command


class Duration(click.ParamType):
    """A time like 50m, 1h30m or 90s, given to the command as seconds."""

    name = "time"

    def convert(self, value: Any, param: Any, context: Any) -> float:
        """Return the seconds, or end with a usage error."""
        if isinstance(value, float):
            return value
        parts = re.fullmatch(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", value)
        seconds = sum(
            int(part or 0) * unit
            for part, unit in zip(parts.groups() if parts else (), (3600, 60, 1), strict=False)
        )
        if not seconds:
            self.fail(f"{value!r} is no time. Write it like 50m, 1h30m or 90s.", param, context)
        if seconds > LONGEST_BUDGET:
            self.fail(f"{value!r} is more than {duration(LONGEST_BUDGET)}.", param, context)
        return float(seconds)


class ValidationSplit(click.ParamType):
    """The name of a validation split, or a fold of equal parts like fold1of10."""

    name = "split"

    def convert(self, value: Any, param: Any, context: Any) -> str:
        """Return the split's name, or end with a usage error."""
        if not is_validation(value):
            splits = ", ".join(VALIDATION_SPLITS)
            self.fail(f"{value!r} is not one of {splits} or a fold like fold1of10.", param, context)
        return str(value)


def folder_option(name: str, content: str) -> Any:
    """Return the option for one of the project's folders, named as its default."""
    return click.option(
        f"--{name}-dir",
        type=PATH,
        default=name,
        show_default=True,
        envvar=f"KAGGLE_CIFAR_{name.upper()}_DIR",
        show_envvar=True,
        help=content,
    )


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kaggle-cifar")
@folder_option("data", "Archives and images.")
@folder_option("runs", "Trained networks, a folder each.")
@folder_option("submissions", "CSV files for Kaggle.")
@click.pass_context
def cli(context: click.Context, data_dir: Path, runs_dir: Path, submissions_dir: Path) -> None:
    """From nothing to a scored submission in Kaggle's CIFAR-10 competition.

    \b
    The way:
      kaggle-cifar doctor       is all there that it takes?
      kaggle-cifar download     Kaggle's files, verified and extracted
      kaggle-cifar train        a network
      kaggle-cifar predict      the 300,000 test images
      kaggle-cifar submit submissions/model3-tuned.csv --wait

    Every command can be stopped at any moment and run again: it goes on where it was.
    """  # noqa: D301 - \b is click's mark for lines to keep
    context.obj = ProjectPaths(data_dir, runs_dir, submissions_dir)


@cli.command()
@click.pass_obj
def doctor(project: ProjectPaths) -> None:
    """Tell whether this machine and this Kaggle account are ready.

    A line each on credentials, the competition's rules, GPU hours on Kaggle, disk, memory, GPU and
    versions; exit status 1 if something blocks.
    """
    from kaggle_cifar.doctor import examine

    marks = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}
    findings = examine(project)
    for finding in findings:
        say(f"{marks[finding.status]}  {finding.name}: {finding.detail}")
    if any(finding.status == "problem" for finding in findings):
        sys.exit(1)


@cli.command()
@click.argument("folder", type=PATH)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the drawing."
)
def sample(folder: Path, seed: int) -> None:
    """Draw a small competition of shapes into FOLDER, in Kaggle's layout.

    It needs neither network nor account. With solution.csv, which tells the true classes of the
    scored test images:

    \b
      kaggle-cifar --data-dir demo/data sample demo/data/raw
      kaggle-cifar --data-dir demo/data extract
    """  # noqa: D301
    from kaggle_cifar.data.synthetic import draw_sample

    draw_sample(folder, seed)


@cli.command()
@click.option("--extract/--no-extract", default=True, help="Extract the archives as well.")
@click.option(
    "--source",
    type=click.Choice(["kaggle", "keras"]),
    default="kaggle",
    show_default=True,
    help="keras: the public CIFAR-10, without an account; its predictions are not for Kaggle.",
)
@click.pass_obj
def download(project: ProjectPaths, extract: bool, source: str) -> None:
    """Bring the competition's four files to data/raw, verify and extract them.

    What was interrupted goes on where it stopped; what is there and whole is left alone.
    """
    from kaggle_cifar.data.download import download
    from kaggle_cifar.data.extract import extract as extract_archives
    from kaggle_cifar.data.extract import extract_split
    from kaggle_cifar.data.keras_cifar10 import download_from_keras

    if source == "keras":
        download_from_keras(project)
        return
    if not extract:
        download(project)
        return
    extracted: list[str] = []

    def extract_and_note(archive: Path, split: str) -> bool:
        is_new = extract_split(project, archive, split)
        extracted.extend([split] * is_new)
        return is_new

    download(project, extract=extract_and_note)
    extract_archives(project, told=extracted)


@cli.command()
@click.pass_obj
def extract(project: ProjectPaths) -> None:
    """Extract the archives that are in data/raw to data/train and data/test."""
    from kaggle_cifar.data.extract import extract

    extract(project)


@cli.command()
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the pictures."
)
@click.pass_obj
def inspect(project: ProjectPaths, seed: int) -> None:
    """Look through all images before training: counts, classes, duplicates, broken files.

    The pictures, an example of each class and the class counts, go to data/inspection.
    """
    from kaggle_cifar.data.inspection import inspect

    inspect(project, seed)


@cli.command()
@click.argument("recipe", type=RecipeName(), default=recipes.DEFAULT)
@click.option("--name", help="Name of the run.  [default: the recipe, with the seed if given]")
@click.option("--epochs", type=EPOCHS, help="Instead of the recipe's number.")
@click.option("--limit", type=LIMIT, help="Use N images, each class in its share.")
@click.option("--seed", type=SEED, help="Of all that is random.  [default: 0]")
@click.option("--seeds", type=click.IntRange(1, MOST_RUNS), help="N runs, of the seeds 0 to N - 1.")
@click.option(
    "--folds", type=click.IntRange(2, TRAIN_COUNT), help="N runs, each judged on another part."
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the recipe, as in --set learning_rate=0.003 or --set plateau.factor=0.1.",
)
@click.option(
    "--validation",
    type=ValidationSplit(),
    default=VALIDATION_SPLITS[0],
    show_default=True,
    metavar="|".join((*VALIDATION_SPLITS, "foldKofN")),
    help="Images to judge by: the last 20 % by id, 20 % of each class, none, or one of N parts.",
)
@click.option("--mixed-precision", is_flag=True, help="16-bit activations: faster on most GPUs.")
@click.option(
    "--time-budget",
    type=Duration(),
    help="Fit the epochs into a time like 50m, from reading the data to the result.",
)
@click.option(
    "--tensorboard",
    is_flag=True,
    help="Write runs/NAME/tensorboard too: watch all by `tensorboard --logdir runs`.",
)
@click.option("--on", type=click.Choice(["kaggle"]), help="Train there, on a GPU; bring it here.")
@click.option("--accelerator", help="Kaggle's name of a GPU.  [default: NvidiaTeslaT4, two]")
@click.option("--predict", is_flag=True, help="Predict the test images there, too.")
@click.option("--detach", is_flag=True, help="Return once Kaggle has it; run again to follow.")
@cluster_options
@click.pass_context
def train(
    context: click.Context,
    recipe: Recipe,
    name: str | None,
    epochs: int | None,
    limit: int | None,
    seed: int | None,
    seeds: int | None,
    folds: int | None,
    changes: tuple[str, ...],
    validation: str,
    mixed_precision: bool,
    time_budget: float | None,
    tensorboard: bool,
    on: str | None,
    accelerator: str | None,
    predict: bool,
    detach: bool,
    address: str | None,
    cpus: int | None,
    gpus: float | None,
) -> None:
    """Train RECIPE to its end as a run, or go on with an unfinished one of the same name.

    RECIPE is a name or a JSON file of your own: a run's run.json with another name in it.
    Ctrl-C saves the state and stops; the same command goes on. The result is a folder
    runs/NAME with the weights, the history, the curves and the figures reached.

    \b
      kaggle-cifar train
      kaggle-cifar train model3 --seed 1
      kaggle-cifar train my_recipe.json
      kaggle-cifar train airbench94 --time-budget 50m
      kaggle-cifar train --epochs 2 --limit 2000 --name quick-look
      kaggle-cifar train airbench96 --on kaggle --predict
    """  # noqa: D301
    from kaggle_cifar.remote import train
    from kaggle_cifar.remote.script import DEFAULT_ACCELERATOR
    from kaggle_cifar.search import seeds_and_folds
    from kaggle_cifar.search.cluster import Cluster
    from kaggle_cifar.training import loop

    check_contradictions(context)
    if recipe.name == recipes.DEFAULT:
        say(recipes.BETTER_THAN_DEFAULT)
    recipe = changed_recipe(recipe, changes)
    run_name = name or recipe.name + (f"-{time_budget / 60:g}m" if time_budget else "")
    if epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=epochs)
    options = RunOptions(seed or 0, limit, validation, mixed_precision, time_budget)
    cluster = Cluster(address, cpus, gpus) if address else None
    with stopping_cleanly():
        if seeds:
            seeds_and_folds.train_seeds(
                context.obj, recipe, run_name, options, seeds, tensorboard, cluster
            )
        elif folds:
            seeds_and_folds.train_folds(
                context.obj, recipe, run_name, options, folds, tensorboard, cluster
            )
        else:
            if not name and seed is not None:
                run_name += f"-seed{seed}"
            if on:
                gpu = accelerator or DEFAULT_ACCELERATOR
                train.train_on_kaggle(context.obj, recipe, run_name, options, gpu, predict, detach)
            else:
                train.check_remote(context.obj, run_name)
                loop.train(context.obj, recipe, run_name, options, tensorboard)


@contextmanager
def stopping_cleanly() -> Iterator[None]:
    """End with the signal's exit status where a signal stopped a training."""
    from kaggle_cifar.training.loop import Interrupted

    try:
        yield
    except Interrupted as stop:
        say("Stopped; the state is saved. The same command goes on with it.")
        sys.exit(128 + stop.signal_number)


def changed_recipe(recipe: Recipe, changes: tuple[str, ...]) -> Recipe:
    """Return the recipe with the changes of --set, or end with a usage error."""
    try:
        return recipes.change_recipe(recipe, changes) if changes else recipe
    except UserError as error:
        raise click.UsageError(f"--set: {error}") from None


def check_contradictions(context: click.Context) -> None:
    """End with a usage error when options of `train` are given that exclude each other."""
    for first, second, reason in (
        ("seed", "seeds", "--seeds N trains the seeds 0 to N - 1"),
        ("seeds", "folds", "repeat --folds with another --seed and --name instead"),
        ("folds", "validation", "--folds N judges each run on its own part"),
        ("epochs", "time_budget", "both set how long the training is"),
        ("on", "seeds", "train them one by one, with --seed"),
        ("on", "tensorboard", "it watches a training on this machine"),
        ("on", "folds", "train them one by one, with --validation fold1of5 and --name"),
    ):
        if is_given(context, first) and is_given(context, second):
            names = f"--{first} and --{second}".replace("_", "-")
            raise click.UsageError(f"{names} exclude each other: {reason}.")
    changed = {change.partition("=")[0] for change in context.params["changes"]}
    for name in ("epochs", "mixed_precision"):
        if is_given(context, name) and name in changed:
            option = f"--{name}".replace("_", "-")
            raise click.UsageError(f"{option} and --set {name}=… exclude each other: give one.")
    for name in ("accelerator", "predict", "detach"):
        if is_given(context, name) and not is_given(context, "on"):
            raise click.UsageError(f"--{name} belongs to a training with --on kaggle.")
    several = is_given(context, "seeds") or is_given(context, "folds")
    for name in ("address", "cpus", "gpus"):
        on_command_line = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if on_command_line and not several:
            raise click.UsageError(
                f"--{name} belongs to --seeds or --folds: a cluster trains many runs, each on one "
                "machine, with all GPUs it has there."
            )


def is_given(context: click.Context, name: str) -> bool:
    """Whether an option was given by the user."""
    given = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    return context.get_parameter_source(name) in given


@cli.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--tta", is_flag=True, help="See each image in six views: better, six times slower.")
@click.option("--weighted", is_flag=True, help="Weigh the runs by what validation says of them.")
@click.option("--output", type=PATH, help="Path of the new CSV.  [default: submissions/<runs>.csv]")
@click.pass_obj
def predict(
    project: ProjectPaths, runs: tuple[str, ...], tta: bool, weighted: bool, output: Path | None
) -> None:
    """Predict all test images with RUN, by default the newest, and write the CSV.

    Several runs are an ensemble: their probabilities are averaged, and what that gains on the
    validation images is told. Nothing is computed twice.

    \b
      kaggle-cifar predict airbench94 --tta
      kaggle-cifar predict airbench94-seed0 airbench94-seed1 --tta --weighted
    """  # noqa: D301
    from kaggle_cifar.prediction.ensemble import describe_gain, weigh
    from kaggle_cifar.prediction.predict import predict
    from kaggle_cifar.submission.validate import choose_output, origin_of, write_submission
    from kaggle_cifar.training.run import chosen_runs

    chosen = chosen_runs(project, runs)
    names = [run.name for run in chosen]
    views = "tta" if tta else "plain"
    path = choose_output(project, names, views, weighted, output)
    weights = weigh(project, chosen, views) if weighted else None
    if len(chosen) > 1:
        say(describe_gain(project, chosen, views, weights))
    ids, probabilities = predict(project, chosen, views, weights)
    origin = origin_of(chosen, views, weights)
    write_submission(path, ids, probabilities.argmax(axis=1), names, **origin)


@cli.command()
@click.argument("csv", type=PATH)
@click.option("--solution", type=PATH, help="A CSV id,label,Usage: tell the accuracy by it.")
@click.pass_obj
def check(project: ProjectPaths, csv: Path, solution: Path | None) -> None:
    """Check whether Kaggle will accept CSV.

    It names every fault for which Kaggle refuses a file, with exit status 1, and warns of all for
    which Kaggle may refuse it.
    """
    from kaggle_cifar.data import labels
    from kaggle_cifar.submission import validate

    result = validate.check(csv, labels.expected_ids(project))
    for warning in result.warnings:
        say(f"Warning: {warning}")
    if result.faults:
        faults = "\n".join(f"  {fault}" for fault in result.faults)
        raise UserError(f"Kaggle would refuse {csv}:\n{faults}")
    say(f"{csv} is a valid submission of {result.rows:,} rows.")
    if solution:
        accuracies = validate.accuracy(csv, solution)
        for field in dataclasses.fields(accuracies):
            part = getattr(accuracies, field.name)
            if part.count:
                say(f"{field.name} accuracy {part} ({part.right:,} of {part.count:,})")


@cli.command()
@click.argument("csv", type=PATH)
@click.option("-m", "--message", help="Shown beside the submission.  [default: the file's name]")
@click.option("--wait", is_flag=True, help="Wait for the scores and record them.")
@click.option("--again", is_flag=True, help="Submit a file that was or may have been submitted.")
@click.pass_obj
def submit(project: ProjectPaths, csv: Path, message: str | None, wait: bool, again: bool) -> None:
    """Check CSV, submit it once, and record Kaggle's answer in a JSON file beside it.

    A content that was submitted already is not submitted again: with --wait, its scores are
    fetched. If it is unknown whether Kaggle got it, the command looks for it in Kaggle's list.
    Only --again submits it once more.
    """
    from kaggle_cifar.submission.submit import submit

    submit(csv, project, message, WAIT_SECONDS if wait else None, again=again)


@cli.command()
@click.pass_obj
def runs(project: ProjectPaths) -> None:
    """Show all runs, unfinished ones too, and what the submissions made of them scored."""
    from kaggle_cifar.report.ledger import describe_runs, describe_submissions

    say(describe_runs(project))
    if submissions := describe_submissions(project):
        say(f"\n{submissions}")


@cli.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.pass_obj
def report(project: ProjectPaths, runs: tuple[str, ...]) -> None:
    """Write the page of RUN, by default the newest; of several, also one that compares them.

    runs/RUN/report.html holds all it shows; its figures are also PNGs in runs/RUN/figures.
    runs/index.html is the table of all runs. Nothing is computed anew: what a run lacks, its
    page says.

    \b
      kaggle-cifar report model3 model3-tuned
    """  # noqa: D301
    from kaggle_cifar.report.report import report
    from kaggle_cifar.training.run import chosen_runs

    report(project, chosen_runs(project, runs))


@cli.command()
@click.argument("images", nargs=-1, required=True, type=PATH, metavar="IMAGE...")
@click.option("--run", help="The run that judges.  [default: the newest]")
@click.option("--json", "as_json", is_flag=True, help="Print all ten probabilities as JSON.")
@click.pass_obj
def classify(
    project: ProjectPaths, images: tuple[Path, ...], run: str | None, as_json: bool
) -> None:
    """Tell which of the ten classes pictures of any format and size show, and how surely.

    Each is cut to its middle square and scaled to 32 x 32 pixels. The networks know ten classes
    only: whatever else a picture shows, they see one of these in it.
    """
    import json

    from kaggle_cifar.prediction import classify
    from kaggle_cifar.training.run import chosen_runs

    chosen = chosen_runs(project, [run] if run else [])[0]
    pictures, failures = [], []
    for image in images:
        try:
            pictures.append(classify.read_picture(image))
        except UserError as error:
            failures.append({"image": str(image), "error": str(error)})
            complain(str(error))
    results = classify.classify(chosen, pictures) if pictures else []
    if as_json:
        parts = [*map(classify.as_json, results), *failures]
        say(json.dumps({"run": chosen.name, "images": parts}, indent=2))
    else:
        for result in results:
            say(classify.as_lines(result))
    if failures:
        raise UserError(f"{len(failures)} of {len(images)} pictures could not be classified.")


@cli.command()
@click.argument("run")
@click.option("--output", type=PATH, help="The folder.  [default: runs/RUN/export]")
@click.pass_obj
def export(project: ProjectPaths, run: str, output: Path | None) -> None:
    """Write RUN's whole model for use elsewhere: SavedModel, and ONNX with tf2onnx installed.

    Both take the pixels as they are, 0 to 255, and give the ten classes' probabilities.
    """
    from kaggle_cifar.prediction.export import export
    from kaggle_cifar.training.run import find_run

    found = find_run(project, run)
    export(project, found, output or found.folder / "export")


@cli.command()
@click.argument("recipe", type=RecipeName(), default="model3")
@click.option(
    "--sampler",
    type=click.Choice(["grid-draw", "random", "tpe"]),
    default="grid-draw",
    show_default=True,
    help="As the student project drew from its grid, by chance, or by what was learnt (TPE).",
)
@click.option("--trials", type=click.IntRange(1, MOST_RUNS), help="How many.  [default: 5; or 16]")
@click.option("--space", "space_file", type=PATH, help="A JSON file of your own space.")
@click.option("--epochs", type=EPOCHS, help="Of each trial that is not stopped.")
@click.option("--limit", type=LIMIT, help="Use N images, each class in its share.")
@click.option("--seed", type=SEED, default=0, help="Of choosing and training.")
@click.option("--time-budget", type=Duration(), help="Stop the trials after a time like 2h30m.")
@click.option("--name", default="search", show_default=True, help="Name of the search's folder.")
@cluster_options
@click.pass_obj
def search(
    project: ProjectPaths,
    recipe: Recipe,
    sampler: str,
    trials: int | None,
    space_file: Path | None,
    epochs: int | None,
    limit: int | None,
    seed: int,
    time_budget: float | None,
    name: str,
    address: str | None,
    cpus: int | None,
    gpus: float | None,
) -> None:
    """Try settings of RECIPE, by default model3, one run each, and show which is best.

    The student project's grid for Model 3 has a rate of 0.001 or 0.01, a batch of 32 or 64, 10
    or 20 epochs, Adam or RMSprop. The samplers random and tpe search a space that is declared
    for the recipe's network or in a file, and stop trials early that lag behind (ASHA).

    The trials become ordinary runs; runs/NAME gets the figures, the results and
    best_recipe.json, which `train` takes. The same command goes on with a search.

    \b
      kaggle-cifar search
      kaggle-cifar search --sampler tpe --trials 30 --epochs 20
      kaggle-cifar search airbench94 --sampler tpe --time-budget 2h --gpus 0.5
    """  # noqa: D301
    from kaggle_cifar.search.cluster import Cluster
    from kaggle_cifar.search.search import search
    from kaggle_cifar.search.search_space import GRID_SIZE, declared_space, student_grid

    if sampler == "grid-draw":
        if recipe.name != "model3" or space_file:
            raise click.UsageError(
                "--sampler grid-draw draws from the student project's grid for model3: for "
                "another recipe or space, choose random or tpe."
            )
        if time_budget:
            raise click.UsageError("--time-budget belongs to the samplers random and tpe.")
        trials = trials or 5
        if trials > GRID_SIZE:
            raise click.UsageError(f"The grid has {GRID_SIZE} settings, not {trials}.")
        space = student_grid(epochs)
    else:
        if epochs:
            recipe = dataclasses.replace(recipe, epochs=epochs)
        space = declared_space(recipe, space_file)
        if epochs and "epochs" in space.content:
            raise click.UsageError(f"{space_file} sets the epochs: leave --epochs out.")
    options = RunOptions(seed=seed, limit=limit)
    with stopping_cleanly():
        cluster = Cluster(address, cpus, gpus)
        search(project, name, space, sampler, trials or 16, options, cluster, time_budget)


def main() -> None:
    """Run the command line: a user's error is a sentence and status 1, Ctrl-C status 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of few letters gets "?" for others
            stream.reconfigure(errors="replace")
    try:
        cli.main(prog_name="kaggle-cifar", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        complain(shown.getvalue().rstrip())
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        complain("Stopped. The same command goes on where it was.")
        sys.exit(130)
    except UserError as error:
        complain(f"Error: {error}")
        sys.exit(1)
    except OSError as error:
        if error.filename is None:  # no file's, but that of standard output
            drop_output()
        what = error.filename or "the output could not be printed"
        complain(f"Error: {what}: {error.strerror or error}.")
        sys.exit(1)


def complain(message: str) -> None:
    """Print a line to standard error."""
    click.echo(printable(message), err=True)


def drop_output() -> None:
    """Let Python's last flush go nowhere, where standard output is full or its reader gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
