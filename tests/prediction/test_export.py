"""An exported model agrees with its run, and an export replaces nothing foreign."""

import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from kaggle_cifar import files, models, ownership, recipes
from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.errors import UserError
from kaggle_cifar.models.inference import compile_forward
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.prediction import export
from kaggle_cifar.tensorflow_setup import dtype_policy
from kaggle_cifar.training import run as run_module
from kaggle_cifar.training.run import Run
from tests.helpers.small_data import project_in, write_training_data
from tests.prediction.conftest import small_network, write_untrained_run

# Programs that use an export without this package. Arguments: the pixels, then folders with an
# export each, to which the probabilities are written.
USE_SAVED_MODEL = """
import sys, numpy as np, tensorflow as tf
for folder in sys.argv[2:]:
    model = tf.saved_model.load(folder + "/saved_model")
    np.save(folder + "/of-saved_model.npy", model.serve(np.load(sys.argv[1])).numpy())
assert "kaggle_cifar" not in sys.modules
"""
USE_ONNX = """
import sys, numpy as np, onnxruntime
for folder in sys.argv[2:]:
    session = onnxruntime.InferenceSession(folder + "/model.onnx")
    [pixels] = session.get_inputs()
    [probabilities] = session.run(None, {pixels.name: np.load(sys.argv[1])})
    np.save(folder + "/of-onnx.npy", probabilities)
assert not {"kaggle_cifar", "tensorflow"} & set(sys.modules)
"""


def network_of(recipe):
    """Return the settings of a recipe that its export depends on."""
    return recipe.network, json.dumps(recipe.network_options), recipe.precision


# A recipe for each network, small if possible. Some recipes differ only in their training.
SMALL = [small_network(recipe()) for recipe in recipes.RECIPES.values()]
EXPORTED = {network_of(recipe): recipe for recipe in SMALL}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = project_in(tmp_path_factory.mktemp("exporting"))
    write_training_data(project, 40)
    return project


@pytest.fixture(scope="module")
def model1(project):
    return write_untrained_run(project, recipes.model1())


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def exports(project, pixels, tmp_path_factory):
    """Each network's run and the folder of its export, used without this package."""
    exported = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "COMPARED", 5)
        for recipe in EXPORTED.values():
            run = write_untrained_run(project, recipe)
            exported[recipe.name] = run, tmp_path_factory.mktemp("exports") / recipe.name
            export.export(project, *exported[recipe.name])
    file = tmp_path_factory.mktemp("pixels") / "pixels.npy"
    np.save(file, pixels)
    folders = [str(folder) for _, folder in exported.values()]
    for program in (USE_SAVED_MODEL, USE_ONNX):
        subprocess.run([sys.executable, "-c", program, str(file), *folders], check=True)
    return exported


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [recipe.name for recipe in EXPORTED.values()])
@pytest.mark.parametrize("form", ["saved_model", "onnx"])
def test_export_of_every_network_agrees_elsewhere(exports, pixels, recipe, form):
    run, folder = exports[recipe]
    expected = np.asarray(compile_forward(run.load_model("float32"))(pixels))
    assert expected.std() > 1e-4
    np.testing.assert_allclose(np.load(folder / f"of-{form}.npy"), expected, atol=1e-5)
    assert (folder / "classes.txt").read_text().split() == list(CLASS_NAMES)


def test_export_keeps_only_models_that_agree(project, model1, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "export"
    monkeypatch.setattr(
        export, "load_onnx", lambda path: lambda images: np.full((len(images), 10), 0.1)
    )
    with pytest.raises(export.ExportError) as caught:
        export.export(project, model1, folder)
    assert caught.value.reasons.keys() == {"model.onnx"}
    assert ownership.foreign_names(folder) == ["classes.txt", "saved_model"]
    assert "model.onnx" not in capsys.readouterr().out


def test_export_names_an_operation_that_onnx_lacks(project, model1, tmp_path, monkeypatch):
    import tensorflow as tf

    with_softmax = export.with_probabilities

    def with_erfc(model):
        import keras

        model = with_softmax(model)
        return keras.Model(model.input, keras.layers.Lambda(tf.math.erfc)(model.output))

    monkeypatch.setattr(export, "with_probabilities", with_erfc)
    for installed in (True, False):
        if not installed:
            hide(monkeypatch, "onnxruntime")
        with pytest.raises(export.ExportError) as caught:
            export.export(project, model1, tmp_path / "export")
        assert "Erfc" in caught.value.reasons["model.onnx"]
        assert ownership.foreign_names(tmp_path / "export") == ["classes.txt", "saved_model"]


def hide(monkeypatch, package):
    find_spec = export.importlib.util.find_spec
    monkeypatch.setattr(
        export.importlib.util,
        "find_spec",
        lambda name, *parents: None if name == package else find_spec(name, *parents),
    )


def test_export_without_tf2onnx_skips_onnx(project, model1, tmp_path, monkeypatch, capsys):
    hide(monkeypatch, "tf2onnx")
    export.export(project, model1, tmp_path / "export")
    assert ownership.foreign_names(tmp_path / "export") == ["classes.txt", "saved_model"]
    assert "tf2onnx" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["validation images", "random images"])
def test_export_prints_the_difference_from_predict(
    project, model1, tmp_path, monkeypatch, capsys, kind
):
    if kind == "random images":
        project = dataclasses.replace(project, data=tmp_path)
    monkeypatch.setattr(export, "COMPARED", 5)
    monkeypatch.setattr(export, "dtype_policy", lambda precision: "mixed_bfloat16")
    images, pixels = export.comparison_images(project, model1)
    predicted = np.asarray(compile_forward(model1.load_model("mixed_bfloat16"))(pixels))
    others = np.roll(predicted, 1, axis=1)
    others[0] = predicted[0]
    export.print_difference(model1, images, pixels, others)
    printed = capsys.readouterr().out
    assert "bfloat16" in printed and f"differ on 4 of 5 {kind}" in printed


def test_load_model_uses_the_precision_of_the_recipe(project, monkeypatch):
    run = write_untrained_run(project, small_network(recipes.airbench94()))
    monkeypatch.setattr(run_module, "dtype_policy", lambda precision: f"policy {precision}")
    policies = []
    monkeypatch.setattr(models, "build", lambda *arguments: policies.append(arguments[2]))
    monkeypatch.setattr(run_module, "load_weights", lambda *arguments: None)
    run.load_model()
    assert policies == ["policy where faster"]
    assert dtype_policy("never") == "float32"


# The folder


def contents(folder):
    """Return everything in a folder: the bytes of files, the targets of links."""
    return {
        path.relative_to(folder).as_posix(): path.readlink()
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in folder.rglob("*")
    }


def no_model(*arguments):
    raise AssertionError("the folder was not refused before the model was loaded")


PLACES = ["data", "data/new", "runs", "runs/model1", "runs/new", "submissions/new", ".", ".."]


@pytest.mark.parametrize("output", [*PLACES, "documents", "file", "link", "submissions"])
def test_export_refuses_a_folder_of_something_else(tmp_path, monkeypatch, output):
    home = tmp_path / "home"
    folder = home / "project"
    project = project_in(folder)
    write_training_data(project, 10)
    run = write_untrained_run(project, recipes.model1())
    (folder / "documents").mkdir()
    (folder / "documents" / "thesis.txt").write_text("the only copy")
    (folder / "file").write_text("a file")
    (folder / "link").symlink_to("documents")
    project.submissions.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(Run, "load_model", no_model)
    before = contents(home)
    with pytest.raises(ForeignPathError) as caught:
        export.export(project, run, folder / output)
    assert caught.value.path.resolve() == (folder / output).resolve()
    assert contents(home) == before


@pytest.fixture
def quick(monkeypatch):
    """An export without ONNX, checked on a few images."""
    hide(monkeypatch, "tf2onnx")
    monkeypatch.setattr(export, "COMPARED", 5)


def test_export_replaces_an_export(project, model1, tmp_path, quick):
    folder = tmp_path / "export"
    folder.mkdir()  # empty
    folder.chmod(0o750)
    export.export(project, model1, folder)
    assert folder.stat().st_mode & 0o777 == 0o750
    marked = (folder / ownership.MARK).read_text()
    (folder / "saved_model" / "fingerprint.pb").unlink()
    export.export(project, model1, folder)
    assert (folder / "saved_model" / "fingerprint.pb").exists()
    assert json.loads(marked)[ownership.KIND] == export.KIND
    assert {path.name for path in tmp_path.iterdir()} <= {"export", ".kaggle-cifar.export.lock"}


def test_export_refuses_an_export_with_a_foreign_file(project, model1, tmp_path, quick):
    folder = tmp_path / "export"
    export.export(project, model1, folder)
    (folder / "saved_model" / "notes.txt").write_text("mine")
    before = contents(folder)
    with pytest.raises(ForeignPathError):
        export.export(project, model1, folder)
    assert contents(folder) == before


def test_export_keeps_a_foreign_file_of_the_meantime(project, model1, tmp_path, quick, monkeypatch):
    folder = tmp_path / "export"
    write_models = export.write_models

    def and_another(*arguments):
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
        return write_models(*arguments)

    monkeypatch.setattr(export, "write_models", and_another)
    with pytest.raises(ForeignPathError):
        export.export(project, model1, folder)
    assert contents(folder) == {"notes.txt": b"mine"}


def test_export_follows_a_link(project, model1, tmp_path, quick):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "export")
    export.export(project, model1, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "export" / "classes.txt").exists()


def test_export_refuses_a_second_export_at_once(project, model1, tmp_path, quick):
    folder = tmp_path / "export"
    with (
        files.held(ownership.reserved_path(folder, "lock"), folder, "export"),
        pytest.raises(files.BusyError),
    ):
        export.export(project, model1, folder)
    assert not folder.exists()


def test_export_names_a_folder_it_cannot_write(project, model1, tmp_path):
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / "export"
    with pytest.raises(UserError, match=re.escape(str(folder))):
        export.export(project, model1, folder)
