"""A run's network with its weights, for programs that do not know this one."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.networks import gives_logits
from kaggle_cifar.progress import say
from kaggle_cifar.runs import Run
from kaggle_cifar.runtime import start_tensorflow
from kaggle_cifar.storage import explain_os_error, lock, partial_path, remove_folder, write_text

if TYPE_CHECKING:
    import keras


def export(run: Run, folder: Path) -> None:
    """Write `saved_model/`, `model.onnx` where tf2onnx is installed, and `classes.txt`.

    Both models take uint8 (batch, 32, 32, 3) and return probabilities float32 (batch, 10), in
    the order of the lines of `classes.txt`. An export that is there is replaced by the new one.

    Raises
    ------
    UserError
        When the run is unfinished or damaged, or `folder` cannot be written.
    """
    start_tensorflow()
    model = with_probabilities(run.load_model())
    use_plain_operations(model)
    with lock(run.folder, "export"):
        partial = partial_path(folder)
        try:
            remove_folder(partial)
            partial.mkdir(parents=True)
            model.export(partial / "saved_model", format="tf_saved_model", verbose=False)
            if importlib.util.find_spec("tf2onnx"):
                model.export(partial / "model.onnx", format="onnx", verbose=False)
            else:
                say('Without ONNX, for want of its packages: pip install "tf2onnx>=1.17".')
            write_text(partial / "classes.txt", "\n".join(CLASS_NAMES) + "\n")
            remove_folder(folder)
            partial.replace(folder)
        except OSError as error:
            raise explain_os_error(error, folder) from error
        finally:
            remove_folder(partial)
    say(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}.")


def use_plain_operations(model: "keras.Model") -> None:
    """Keep what only this machine's TensorFlow compiles out of the model's graph."""
    from kaggle_cifar.layers import GELU

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
