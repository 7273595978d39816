"""A run's network with its weights, exported for other programs."""

import importlib.util
import shutil
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SHAPE
from kaggle_cifar.console import say
from kaggle_cifar.data.images import read_images
from kaggle_cifar.devices.native_output import native_information_discarded
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import (
    ProjectPaths,
    explain_os_error,
    held,
    partial_path,
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
from kaggle_cifar.staging import real_folder, staged_folder
from kaggle_cifar.tensorflow_setup import dtype_policy, start_tensorflow
from kaggle_cifar.training.run import Run

if TYPE_CHECKING:
    import keras

KIND = "export"
PRECISION = "float32"  # the only one that Keras exports to ONNX
COMPARED = 500  # images on which an exported model must agree with the network
BATCH_SIZE = 100  # images
TOLERANCE = 1e-3  # of a probability

Forward = Callable[[np.ndarray], np.ndarray]


class ExportError(UserError):
    """A format could not be exported; `reasons` has the reason of each by its file's name."""

    def __init__(self, folder: Path, reasons: dict[str, str]) -> None:
        faults = " ".join(f"{name} was not written: {reason}." for name, reason in reasons.items())
        super().__init__(
            f"{faults} The other files in {folder} are complete. If the format lacks an operation, "
            "use other layers in the network's file."
        )
        self.reasons = reasons


def export(project: ProjectPaths, run: Run, folder: Path) -> None:
    """Write `saved_model/`, `model.onnx` if tf2onnx is installed, and `classes.txt`.

    Both models take uint8 (batch, 32, 32, 3) and return probabilities float32 (batch, 10) in the
    order of `classes.txt`. They compute in float32. If `predict` computes in 16 bits here, the
    number of images with another prediction is printed. An earlier export in `folder` is replaced.

    Raises
    ------
    ForeignPathError
        If `folder` is one of the project's folders, or has anything but an earlier export.
    ExportError
        If an exported model does not load or does not agree with the network.
    UserError
        If the run is unfinished or damaged, or `folder` cannot be written.
    """
    run.require_finished()
    require_export_folder(project, folder)
    start_tensorflow()
    model = with_probabilities(run.load_model(PRECISION))
    use_plain_operations(model)
    images, pixels = comparison_images(project, run)
    expected = in_batches(compile_forward(model), pixels)
    with lock_folder(folder), staged_folder(folder) as staging:
        reasons = write_models(model, staging, pixels, expected)
        write_text(staging / "classes.txt", "\n".join(CLASS_NAMES) + "\n")
        mark_folder(staging, KIND)
        # Again, because writing the models took a while.
        require_export_folder(project, folder)
        if folder.exists():
            shutil.copymode(folder, staging)
    say(f"{folder}: {', '.join(foreign_names(folder))}.")
    print_difference(run, images, pixels, expected)
    if reasons:
        raise ExportError(folder, reasons)


# The folder


def lock_folder(folder: Path) -> AbstractContextManager[None]:
    """Lock the folder of an export from outside, because it is replaced."""
    return held(reserved_path(real_folder(folder), "lock"), folder, "export")


def require_export_folder(project: ProjectPaths, folder: Path) -> None:
    """Raise a ForeignPathError unless an export may replace `folder`."""
    target, here = real_folder(folder), real_folder(Path())
    places = project.absolute()
    above = {target, *target.parents}
    if (
        target in (here, places.runs)
        or target.parent == places.runs
        or (above & {places.data, places.submissions})
    ):
        raise ForeignPathError(
            folder,
            f"{folder} is the current folder or one of the project's, so it cannot be an export. "
            "Use --output with a new folder.",
        )
    try:
        if folder.exists():  # a link to a folder that is still missing is allowed
            require_only_own_content(folder, KIND)
    except OSError as error:
        raise explain_os_error(error, folder) from error


# The models


def write_models(
    model: "keras.Model", folder: Path, pixels: np.ndarray, expected: np.ndarray
) -> dict[str, str]:
    """Write the model in each format, and keep those that give the expected probabilities.

    Returns why each of the others failed, by its file's name.
    """
    formats: dict[str, tuple[str, Callable[[Path], Forward | None]]] = {
        "saved_model": ("tf_saved_model", load_saved_model)
    }
    if importlib.util.find_spec("tf2onnx"):
        formats["model.onnx"] = ("onnx", load_onnx)
    else:
        say('ONNX is skipped. To export it, run `pip install "tf2onnx>=1.17"`.')
    reasons = {}
    for name, (format_name, load) in formats.items():
        unchecked = partial_path(folder / name)
        try:
            # Keras warns about NumPy, and TensorFlow 2.18 prints how it converts.
            with warnings.catch_warnings(action="ignore"), native_information_discarded():
                model.export(unchecked, format=format_name, verbose=False)
            forward = load(unchecked)
            if forward and not agrees(in_batches(forward, pixels), expected):
                raise ValueError("its probabilities differ from the network's")
            unchecked.replace(folder / name)
        except OSError:
            raise
        except Exception as error:  # converters and runtimes raise nearly everything
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            reasons[name] = reason.rstrip(".")
            remove_reserved(unchecked)
    return reasons


def load_saved_model(path: Path) -> Forward:
    """Return the forward pass of an exported SavedModel."""
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    return lambda images: np.asarray(loaded.serve(images))  # keeps `loaded` alive


def load_onnx(path: Path) -> Forward | None:
    """Return the forward pass of an exported ONNX model, or None if no runtime is installed.

    Without a runtime, only its operations are checked.
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
    """Return whether probabilities are equal within TOLERANCE."""
    return found.shape == expected.shape and bool(np.abs(found - expected).max() <= TOLERANCE)


def in_batches(forward: Forward, pixels: np.ndarray) -> np.ndarray:
    """Return a forward pass's probabilities float32 (n, 10) of all pixels."""
    starts = range(0, len(pixels), BATCH_SIZE)
    return np.concatenate([np.asarray(forward(pixels[i : i + BATCH_SIZE])) for i in starts])


def use_plain_operations(model: "keras.Model") -> None:
    """Replace operations that not every TensorFlow can load."""
    from kaggle_cifar.models.layers import GELU

    for layer in model.layers:
        if isinstance(layer, GELU):
            layer.fused = False


def with_probabilities(model: "keras.Model") -> "keras.Model":
    """Return the model with a softmax appended if it gives logits."""
    import keras

    if not gives_logits(model):
        return model
    outputs = keras.layers.Softmax(name="probabilities", dtype="float32")(model.output)
    return keras.Model(model.input, outputs)


# Comparison with `predict`


def comparison_images(project: ProjectPaths, run: Run) -> tuple[str, np.ndarray]:
    """Return the kind of some images and their pixels uint8 (n, 32, 32, 3).

    They are evenly spaced validation images of the run, or random images if there are none here.
    """
    try:
        ids = read_probabilities(run.probabilities_file("validation", "plain"))["id"]
        chosen = ids[np.linspace(0, len(ids) - 1, min(COMPARED, len(ids))).astype(int)]
        batches = list(read_images(project, "train", np.sort(chosen), BATCH_SIZE))
        return "validation images", np.concatenate(batches)
    except (UserError, ValueError):  # missing or broken, which is no fault of the export
        rng = np.random.default_rng(0)
        return "random images", rng.integers(0, 256, (COMPARED, *IMAGE_SHAPE), dtype=np.uint8)


def print_difference(run: Run, images: str, pixels: np.ndarray, exported: np.ndarray) -> None:
    """Print on how many images `predict` differs, if it computes in 16 bits here."""
    recipe, _ = run.read_recipe()
    policy = dtype_policy(recipe.precision)
    if policy == PRECISION:
        return
    predicted = in_batches(compile_forward(run.load_model(policy)), pixels)
    count = int((predicted.argmax(axis=1) != exported.argmax(axis=1)).sum())
    say(
        f"The exported models compute in {PRECISION}, but `predict` and `classify` compute in "
        f"{policy.removeprefix('mixed_')} on this machine. The predictions differ on {count:,} of "
        f"{len(pixels):,} {images}."
    )
