"""The commands that use trained runs: predict, classify, export."""

import json
from pathlib import Path

import click

from kaggle_cifar.api.arguments import use_device
from kaggle_cifar.cli.completion import complete_runs
from kaggle_cifar.cli.options import PATH, device_option
from kaggle_cifar.console import say, say_error
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...", shell_complete=complete_runs)
@click.option("--tta", is_flag=True, help="Test-time augmentation: more accurate, 6 times slower.")
@click.option("--weighted", is_flag=True, help="Ensemble weights fitted on the validation images.")
@click.option("--output", type=PATH, help="Path of the new CSV.  [default: submissions/<runs>.csv]")
@device_option()
@click.pass_obj
def predict(
    project: ProjectPaths,
    runs: tuple[str, ...],
    tta: bool,
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
      kaggle-cifar predict airbench94-seed0 airbench94-seed1 --tta --weighted
    """  # noqa: D301
    from kaggle_cifar.api.submissions import write_predictions
    from kaggle_cifar.training.find_runs import chosen_runs

    use_device(device)
    write_predictions(project, chosen_runs(project, runs), tta, weighted, output)


@click.command()
@click.argument("images", nargs=-1, required=True, type=PATH, metavar="IMAGE...")
@click.option("--run", shell_complete=complete_runs, help="Name of the run.  [default: the newest]")
@click.option("--json", "as_json", is_flag=True, help="Output of all ten probabilities as JSON.")
@click.pass_obj
def classify(
    project: ProjectPaths, images: tuple[Path, ...], run: str | None, as_json: bool
) -> None:
    """Classify pictures of any format and size.

    Each picture is cropped to its central square and scaled to 32 x 32 pixels. The networks know
    only the ten classes of CIFAR-10 and choose one of them for every picture.

    \b
      kaggle-cifar classify holiday.jpg cat.png
      kaggle-cifar classify --run model3 --json cat.png
    """  # noqa: D301
    from kaggle_cifar.prediction import classify
    from kaggle_cifar.training.find_runs import chosen_runs

    chosen = chosen_runs(project, [run] if run else [])[0]
    pictures, failures = [], []
    for image in images:
        try:
            pictures.append(classify.read_picture(image))
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
        raise UserError(f"{len(failures)} of {len(images)} pictures could not be classified.")


@click.command()
@click.argument("run", shell_complete=complete_runs)
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
