"""The commands that use trained runs: predict, classify, export."""

import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import click

from kaggle_cifar.api.arguments import use_device
from kaggle_cifar.cli.completion import complete_runs
from kaggle_cifar.cli.options import PATH, device_option, parse_run_name
from kaggle_cifar.console import counted, say, say_error
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths


class PredictCommand(click.Command):
    """A command whose option `--tta` takes the next argument only if it is "full".

    Otherwise that argument is a run.
    """

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        """Parse the arguments."""
        return super().parse_args(context, list(with_tta_values(arguments)))


def with_tta_values(arguments: list[str]) -> Iterator[str]:
    """Yield the arguments, with `--tta` and its value in one."""
    rest = deque(arguments)
    while rest and rest[0] != "--":
        argument = rest.popleft()
        if argument == "--tta":
            argument = f"--tta={rest.popleft() if rest and rest[0] == 'full' else 'adaptive'}"
        yield argument
    yield from rest


@click.command(cls=PredictCommand)
@click.argument(
    "runs", type=parse_run_name, nargs=-1, metavar="[RUN]...", shell_complete=complete_runs
)
@click.option(
    "--tta",
    type=click.Choice(["adaptive", "full"]),
    metavar="[full]",
    help="Test-time augmentation, more accurate: of the images that the network is unsure of, or "
    "of all (full).",
)
@click.option("--weighted", is_flag=True, help="Ensemble weights fitted on the validation images.")
@click.option("--output", type=PATH, help="Path of the new CSV.  [default: submissions/<runs>.csv]")
@device_option()
@click.pass_obj
def predict(
    project: ProjectPaths,
    runs: tuple[str, ...],
    tta: str | None,
    weighted: bool,
    output: Path | None,
    device: str | None,
) -> None:
    """Predict the test images with RUN and write a CSV.

    The default is the newest run. Several runs form an ensemble: their probabilities are averaged,
    and the gain on the validation images is printed. Stored probabilities are reused.

    \b
      kaggle-cifar predict
      kaggle-cifar predict airbench94 --tta
      kaggle-cifar predict airbench94-seed0 airbench94-seed1 --tta full --weighted
    """  # noqa: D301
    from kaggle_cifar.api.submissions import write_predictions
    from kaggle_cifar.training.find_runs import chosen_runs

    use_device(device)
    views = "tta" if tta else "plain"
    chosen = chosen_runs(project, runs)
    write_predictions(project, chosen, views, tta == "adaptive", weighted, output)


@click.command()
@click.argument("images", nargs=-1, required=True, type=PATH, metavar="IMAGE...")
@click.option(
    "--run",
    type=parse_run_name,
    metavar="RUN",
    shell_complete=complete_runs,
    help="Name of the run.  [default: the newest]",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the probabilities of all ten classes as JSON."
)
@click.pass_obj
def classify(
    project: ProjectPaths, images: tuple[Path, ...], run: str | None, as_json: bool
) -> None:
    """Classify pictures of any size.

    Each picture is cropped to its central square and scaled to 32 x 32 pixels. The networks know
    only the ten classes of CIFAR-10 and choose one of them for every picture. IMAGE may be - for
    standard input. The formats are JPEG, PNG, WebP, AVIF, GIF, TIFF and more, and HEIC with
    pillow-heif.

    \b
      kaggle-cifar classify holiday.jpg cat.png
      kaggle-cifar classify --run model3 --json cat.png
      kaggle-cifar classify - < cat.png
    """  # noqa: D301
    from kaggle_cifar.prediction import classify
    from kaggle_cifar.prediction.pictures import read_picture
    from kaggle_cifar.training.find_runs import chosen_runs

    chosen = chosen_runs(project, [run] if run else [])[0]
    pictures, failures = [], []
    for image in images:
        try:
            pictures.append(read_picture(image))
        except UserError as error:
            failures.append({"image": str(image), "error": str(error)})
            say_error(str(error))
    results = classify.classify(chosen, pictures) if pictures else []
    if as_json:
        parts = [*map(classify.as_json, results), *failures]
        say(json.dumps({"run": chosen.name, "images": parts}, indent=2))
    else:
        for result in results:
            say(classify.as_lines(result))
    if failures:
        raise UserError(
            f"{len(failures)} of {counted(len(images), 'picture')} could not be classified."
        )


@click.command()
@click.argument("run", type=parse_run_name, metavar="RUN", shell_complete=complete_runs)
@click.option("--output", type=PATH, help="Folder of the export.  [default: runs/RUN/export]")
@click.pass_obj
def export(project: ProjectPaths, run: str, output: Path | None) -> None:
    """Export RUN's model as SavedModel and ONNX.

    Both formats take pixels from 0 to 255 and return the probabilities of the ten classes. ONNX
    requires tf2onnx.

    \b
      kaggle-cifar export model3-tuned
    """  # noqa: D301
    from kaggle_cifar.prediction.export import export
    from kaggle_cifar.training.find_runs import find_run

    found = find_run(project, run)
    export(project, found, output or found.folder / "export")
