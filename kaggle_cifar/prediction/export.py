"""A run's network with its weights, for programs that do not know this one."""

import importlib.util
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SHAPE
from kaggle_cifar.console import say
from kaggle_cifar.data.images import read_images
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import (
    ProjectPaths,
    explain_os_error,
    held,
    partial_path,
    staged_folder,
    write_text,
)
from kaggle_cifar.models import gives_logits
from kaggle_cifar.models.inference import compile_forward, read_probabilities
from kaggle_cifar.ownership import (
    ForeignPathError,
    foreign_names,
    mark_folder,
    remove_reserved,
    require_only_own_content,
    reserved_path,
)
from kaggle_cifar.tensorflow_setup import dtype_policy, start_tensorflow
from kaggle_cifar.training.run import Run

if TYPE_CHECKING:
    import keras

KIND = "export"
PRECISION = "float32"  # Keras' ONNX export takes no other, and every program can compute in it
COMPARED = 500  # images on which the written models must agree with the network
BATCH_SIZE = 100  # images
TOLERANCE = 1e-3  # of a probability

Forward = Callable[[np.ndarray], np.ndarray]


class ExportError(UserError):
    """A model could not be written; `reasons` has the reason of each by its file's name."""

    def __init__(self, folder: Path, reasons: dict[str, str]) -> None:
        told = " ".join(f"{name} was not written: {reason}." for name, reason in reasons.items())
        super().__init__(
            f"{told} The other files in {folder} are complete. If the format lacks an operation, "
            "use other layers in the network's file."
        )
        self.reasons = reasons


def export(project: ProjectPaths, run: Run, folder: Path) -> None:
    """Write `saved_model/`, `model.onnx` where tf2onnx is installed, and `classes.txt`.

    Both models take uint8 (batch, 32, 32, 3) and return probabilities float32 (batch, 10), in
    the order of the lines of `classes.txt`. They compute in float32; if `predict` computes in 16
    bits here, the number of images that get another class is printed. An earlier export in
    `folder` is replaced.

    Raises
    ------
    ForeignPathError
        When `folder` is a folder of the layout, or holds anything but an earlier export.
    ExportError
        When a written model does not load or does not agree with the network. The others are kept.
    UserError
        When the run is unfinished or damaged, or `folder` cannot be written.
    """
    run.require_finished()
    target = export_folder(project, folder)
    start_tensorflow()
    model = with_probabilities(run.load_model(PRECISION))
    use_plain_operations(model)
    images, pixels = comparison_images(project, run)
    expected = in_batches(compile_forward(model), pixels)
    with held(reserved_path(target, "lock"), target, "export"), staged_folder(target) as staging:
        reasons = write_models(model, staging, pixels, expected)
        write_text(staging / "classes.txt", "\n".join(CLASS_NAMES) + "\n")
        mark_folder(staging, KIND)
        require_only_own_content(target, KIND)  # again, because writing the models took a while
    say(f"{folder}: {', '.join(foreign_names(target))}.")
    tell_difference(run, images, pixels, expected)
    if reasons:
        raise ExportError(folder, reasons)


# The folder


def export_folder(project: ProjectPaths, folder: Path) -> Path:
    """Return the folder that `folder` leads to, which an export may replace.

    Raises
    ------
    ForeignPathError
        When it may not.
    """
    target, here = Path(os.path.realpath(folder)), Path(os.path.realpath("."))
    places = project.absolute()
    above = {target, *target.parents}
    if (
        target in (here, places.runs)
        or target.parent == places.runs
        or (above & {places.data, places.submissions})
    ):
        raise ForeignPathError(
            folder,
            f"{folder} is in use for something else: the data, the runs, the submissions and the "
            "current folder are no places for an export. Choose a new folder.",
        )
    try:
        require_only_own_content(target, KIND)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    return target


# The models


def write_models(
    model: "keras.Model", folder: Path, pixels: np.ndarray, expected: np.ndarray
) -> dict[str, str]:
    """Write the model in each format that gives `expected` of the pixels, and no other.

    Returns the reason of each that does not, by its file's name.
    """
    formats: dict[str, tuple[str, Callable[[Path], Forward | None]]] = {
        "saved_model": ("tf_saved_model", load_saved_model)
    }
    if importlib.util.find_spec("tf2onnx"):
        formats["model.onnx"] = ("onnx", load_onnx)
    else:
        say('Without ONNX, for want of its packages: pip install "tf2onnx>=1.17".')
    reasons = {}
    for name, (format_name, load) in formats.items():
        unchecked = partial_path(folder / name)
        try:
            with warnings.catch_warnings(action="ignore"):  # Keras' own, about NumPy
                model.export(unchecked, format=format_name, verbose=False)
            forward = load(unchecked)
            if forward and not agrees(in_batches(forward, pixels), expected):
                raise ValueError("it gives other probabilities than the network")
            unchecked.replace(folder / name)
        except OSError:
            raise
        except Exception as error:  # converters and runtimes raise nearly everything
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            reasons[name] = reason.rstrip(".")
            remove_reserved(unchecked)
    return reasons


def load_saved_model(path: Path) -> Forward:
    """Return the forward pass of a written SavedModel."""
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    return lambda images: np.asarray(loaded.serve(images))  # which keeps the variables alive


def load_onnx(path: Path) -> Forward | None:
    """Return the forward pass of a written ONNX model, or None if no runtime is installed.

    Without a runtime, its operations are checked against the standard's.
    """
    if not importlib.util.find_spec("onnxruntime"):
        import onnx

        onnx.checker.check_model(path)
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    [pixels] = session.get_inputs()
    return lambda images: session.run(None, {pixels.name: images})[0]


def agrees(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether probabilities are as good as equal."""
    return found.shape == expected.shape and bool(np.abs(found - expected).max() <= TOLERANCE)


def in_batches(forward: Forward, pixels: np.ndarray) -> np.ndarray:
    """Return the probabilities float32 (n, 10) that a forward pass gives of all pixels."""
    starts = range(0, len(pixels), BATCH_SIZE)
    return np.concatenate([np.asarray(forward(pixels[i : i + BATCH_SIZE])) for i in starts])


def use_plain_operations(model: "keras.Model") -> None:
    """Keep what only this machine's TensorFlow compiles out of the model's graph."""
    from kaggle_cifar.models.layers import GELU

    for layer in model.layers:
        if isinstance(layer, GELU):
            layer.fused = False


def with_probabilities(model: "keras.Model") -> "keras.Model":
    """Return the model with a softmax behind it where it gives logits."""
    import keras

    if not gives_logits(model):
        return model
    outputs = keras.layers.Softmax(name="probabilities")(model.output)
    return keras.Model(model.input, outputs)


# Against `predict`


def comparison_images(project: ProjectPaths, run: Run) -> tuple[str, np.ndarray]:
    """Return words for some images and their pixels uint8 (n, 32, 32, 3).

    They are validation images of the run, spread evenly, or random ones if those are not here.
    """
    try:
        ids = read_probabilities(run.probabilities_file("validation", "plain"))["id"]
        chosen = ids[np.linspace(0, len(ids) - 1, min(COMPARED, len(ids))).astype(int)]
        batches = list(read_images(project, "train", np.sort(chosen), BATCH_SIZE))
        return "validation images", np.concatenate(batches)
    except (UserError, ValueError):  # none there, or broken: they are no part of the export
        rng = np.random.default_rng(0)
        return "random images", rng.integers(0, 256, (COMPARED, *IMAGE_SHAPE), dtype=np.uint8)


def tell_difference(run: Run, images: str, pixels: np.ndarray, exported: np.ndarray) -> None:
    """Print how many images get another class from `predict`, if it computes in 16 bits here."""
    recipe, _ = run.read_recipe()
    policy = dtype_policy(recipe.precision)
    if policy == PRECISION:
        return
    predicted = in_batches(compile_forward(run.load_model(policy)), pixels)
    count = int((predicted.argmax(axis=1) != exported.argmax(axis=1)).sum())
    say(
        f"The exported models compute in {PRECISION}, `predict` and `classify` in "
        f"{policy.removeprefix('mixed_')} on this machine: {count:,} of {len(pixels):,} {images} "
        "get another class."
    )
