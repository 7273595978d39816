"""An exported model gives elsewhere what the run gives here."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from small_data import layout_in, write_training_data

from kaggle_cifar import exporting, recipes, training
from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.errors import UserError
from kaggle_cifar.inference import compile_forward
from kaggle_cifar.runs import RunOptions

# Without this package: only what an exported model may ask for.
USE_SAVED_MODEL = """
import sys, numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1] + "/saved_model")
np.save(sys.argv[3], model.serve(np.load(sys.argv[2])).numpy())
assert "kaggle_cifar" not in sys.modules
"""
USE_ONNX = """
import sys, numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1] + "/model.onnx")
np.save(sys.argv[3], session.run(None, {session.get_inputs()[0].name: np.load(sys.argv[2])})[0])
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    layout = layout_in(tmp_path_factory.mktemp("exporting"))
    write_training_data(layout, 40)
    return {
        name: training.train(
            layout, dataclasses.replace(recipes.find_recipe(name), epochs=1), name, RunOptions()
        )
        for name in ("model1", "model3")
    }


@pytest.mark.parametrize("name", ["model1", "model3"])  # logits, and probabilities of its own
@pytest.mark.parametrize("program", [USE_SAVED_MODEL, USE_ONNX], ids=["saved_model", "onnx"])
def test_an_exported_model_gives_the_same_probabilities(runs, tmp_path, name, program):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    folder = runs[name].folder / "export"
    exporting.export(runs[name], folder)
    arguments = [folder, tmp_path / "pixels.npy", tmp_path / "probabilities.npy"]
    subprocess.run([sys.executable, "-c", program, *map(str, arguments)], check=True)
    expected = compile_forward(runs[name].load_model())(pixels)
    np.testing.assert_allclose(np.load(arguments[2]), expected, atol=1e-5)
    assert (folder / "classes.txt").read_text().split() == list(CLASS_NAMES)


def test_without_the_onnx_package_the_rest_is_exported(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(exporting.importlib.util, "find_spec", lambda name: None)
    exporting.export(runs["model1"], tmp_path / "export")
    assert {path.name for path in (tmp_path / "export").iterdir()} == {"saved_model", "classes.txt"}
    assert "tf2onnx" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_named(runs, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="file/export could not be written"):
        exporting.export(runs["model1"], tmp_path / "file" / "export")
