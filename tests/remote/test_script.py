"""The script that is pushed to Kaggle, and what it must contain."""

import dataclasses

import pytest

from kaggle_cifar import recipes
from kaggle_cifar.remote import script, worker
from tests.remote.kaggle_runs import RECIPE


def test_script_is_the_same_for_the_same_run(tmp_path):
    job = worker.Job("model1", dataclasses.asdict(RECIPE), {"seed": 3}, [], False, 60.0)
    for name in ("a", "b"):
        script.write_kernel(tmp_path / name, "ada/kaggle-cifar-model1", job, "NvidiaL4", None)
    one, two = ((tmp_path / name / "train.py").read_bytes() for name in ("a", "b"))
    assert one == two
    assert len(one) < 1_000_000  # Kaggle's limit


def test_network_with_a_local_module_is_found(tmp_path, monkeypatch):
    (tmp_path / "my_layers.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    code = "import math, keras\nfrom kaggle_cifar import layers\nimport my_layers.a\n"
    assert list(script.foreign_modules(code)) == ["my_layers"]


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_recipes_need_no_local_files(name):
    script.check_local_files(recipes.RECIPES[name]())
