"""Recipes: frozen, found by name or file, changed only under another name."""

import dataclasses
import json

import pytest

from kaggle_cifar import recipes
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.recipes import SettingError, change_recipe, find_recipe
from kaggle_cifar.training.find_runs import named_run

TUNED = recipes.model3_tuned()
FAST = recipes.airbench94()


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_has_its_name_and_says_what_it_is(name):
    assert find_recipe(name).name == name
    assert len(recipes.RECIPES[name].__doc__.split()) > 8


def test_the_student_projects_settings():
    model3 = recipes.model3()
    assert (model3.optimizer, model3.learning_rate, model3.decay) == ("legacy-rmsprop", 1e-3, 1e-6)
    assert (model3.batch_size, model3.epochs) == (64, 50)
    assert model3.early_stopping == recipes.EarlyStopping(patience=5)
    assert model3.plateau == recipes.ReduceLROnPlateau(factor=0.2, patience=2, min_delta=1e-4)
    assert (TUNED.optimizer, TUNED.learning_rate, TUNED.decay) == ("rmsprop", 1e-2, 0)
    assert (TUNED.batch_size, TUNED.epochs, TUNED.plateau.factor) == (32, 40, 0.5)
    assert TUNED.exponential_decay == recipes.ExponentialDecay(start=10, rate=0.1)
    plateau = recipes.model3_tuned_plateau()
    assert plateau == dataclasses.replace(
        TUNED, name="model3-tuned-plateau", exponential_decay=None
    )
    assert (recipes.model1().epochs, recipes.model2().epochs) == (25, 15)


def write_recipe(path, recipe=TUNED, **changes):
    content = {**dataclasses.asdict(recipe), "name": "mine", **changes}
    path.write_text(json.dumps({"recipe": content, "options": {}}))
    return str(path)


def test_a_runs_recipe_file_changed_is_a_recipe(tmp_path):
    recipe = find_recipe(write_recipe(tmp_path / "r.json", batch_size=128, plateau=None))
    assert recipe == dataclasses.replace(TUNED, name="mine", batch_size=128, plateau=None)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_survives_its_file(tmp_path, name):
    recipe = recipes.RECIPES[name]()
    found = find_recipe(write_recipe(tmp_path / "r.json", recipe))
    assert found == dataclasses.replace(recipe, name="mine")


def test_a_muon_recipe_survives_its_file(tmp_path):
    muon = dataclasses.replace(
        FAST, optimizer="muon", muon=recipes.Muon(0.24, 0.6), lookahead=None, name="mine"
    )
    assert find_recipe(write_recipe(tmp_path / "r.json", muon)) == muon


def test_the_published_settings_of_airbench():
    sizes = [recipes.airbench94(), recipes.airbench95(), recipes.airbench96()]
    assert [recipe.epochs for recipe in sizes] == [9.9, 15, 37]
    assert [recipe.learning_rate for recipe in sizes] == [1.5, 1.304, 1.174]
    assert [recipe.sgd.weight_decay for recipe in sizes] == [1.330e-3, 1.53e-3, 1.333e-3]
    assert [recipe.augmentation.translate for recipe in sizes] == [2, 2, 4]
    assert [recipe.augmentation.cutout for recipe in sizes] == [0, 0, 12]
    assert [recipe.schedule.peak for recipe in sizes] == [0.23, 0.23, 0.1]
    assert [recipe.schedule.end for recipe in sizes] == [0.07, 0.07, 0]
    for recipe in sizes:
        assert (recipe.batch_size, recipe.label_smoothing) == (1024, 0.2)
        assert (recipe.sgd.momentum, recipe.sgd.bias_scaler) == (0.85, 64)
        assert recipe.lookahead == recipes.Lookahead(every=5, decay=0.95)
        assert (recipe.whitening_bias_epochs, recipe.schedule.start) == (3, 0.2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sgd": None}, "'sgd' belong to the optimizer sgd or muon"),
        ({"muon": {"learning_rate": 0.2, "momentum": 0.6}}, "'muon' belong to the optimizer muon"),
        ({"optimizer": "muon"}, "'muon' belong to the optimizer muon"),
        ({"optimizer": "adam"}, "'sgd' belong to the optimizer sgd or muon"),
        ({"plateau": {"factor": 0.5}}, "schedule sets the rate"),
        ({"exponential_decay": {"start": 1, "rate": 0.1}}, "schedule sets the rate"),
        ({"early_stopping": {"patience": 1}}, "schedule sets the rate"),
        ({"schedule": {"start": 0.2, "end": 0.0}}, "peak"),
        ({"augmentation": {"flip": "alternatin"}}, "Did you mean alternating"),
        ({"augmentation": {"cutout": 2.5}}, "cutout cannot be 2.5"),
        ({"network_options": [8]}, "network_options cannot be"),
        ({"whitening_bias_epochs": "3"}, "whitening_bias_epochs cannot be"),
    ],
)
def test_an_impossible_setting_of_a_fast_recipe_is_named(tmp_path, changes, words):
    with pytest.raises(UserError, match=words) as caught:
        find_recipe(write_recipe(tmp_path / "r.json", FAST, **changes))
    assert "r.json" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bach_size": 3}, "has no bach_size"),
        ({"batch_size": "many"}, "batch_size cannot be 'many'"),
        ({"network": "modle3"}, "Did you mean model3"),
        ({"optimizer": "adan"}, "Did you mean adam"),
        ({"decay": 0.1}, "legacy-rmsprop"),
        ({"plateau": {"factor": 0.5, "cooldown": 1}}, "has no cooldown"),
        ({"name": "../elsewhere"}, "name"),
        ({"name": "model3-tuned", "epochs": 3}, "another"),
    ],
)
def test_a_wrong_recipe_file_is_named_with_its_fault(tmp_path, changes, words):
    with pytest.raises(UserError, match=words) as caught:
        find_recipe(write_recipe(tmp_path / "r.json", **changes))
    assert "r.json" in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "3", "{}"])
def test_a_torn_or_foreign_recipe_file_is_named(tmp_path, content):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(UserError, match=r"r\.json"):
        find_recipe(str(tmp_path / "r.json"))


def test_changes_become_part_of_the_name():
    changed = change_recipe(TUNED, ["learning_rate=0.003", "plateau.factor=0.1"])
    assert changed.name == "model3-tuned,learning_rate=0.003,plateau.factor=0.1"
    assert (changed.learning_rate, changed.plateau.factor) == (0.003, 0.1)
    assert change_recipe(TUNED, ["optimizer=adam", "early_stopping=null"]).early_stopping is None


@pytest.mark.parametrize(
    ("change", "name", "key", "value"),
    [
        (
            'network_options={"widths":[8,16]}',
            "airbench94,network_options=widths=8,16",
            "network_options",
            {"widths": [8, 16]},
        ),
        (
            "network_options.widths=[8, 16]",
            "airbench94,network_options.widths=8,16",
            "network_options",
            {"widths": [8, 16]},
        ),
        (
            'sgd={"momentum": 0.9, "weight_decay": 0, "bias_scaler": 64}',
            "airbench94,sgd=momentum=0.9,weight_decay=0,bias_scaler=64",
            "sgd",
            recipes.SGD(0.9, 0.0, 64.0),
        ),
        ("epochs=2.5", "airbench94,epochs=2.5", "epochs", 2.5),
        ("lookahead=null", "airbench94,lookahead=null", "lookahead", None),
    ],
)
def test_any_value_can_be_changed_and_gives_a_name_for_a_folder(change, name, key, value):
    assert change_recipe(FAST, [change]) == dataclasses.replace(FAST, name=name, **{key: value})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("learning_rate", "KEY=VALUE"),
        ("name=mine", "KEY=VALUE"),
        ("lerning_rate=1", "Did you mean learning_rate"),
        ("plateau.factr=1", "Did you mean factor"),
        ("epochs.factor=1", "has no epochs"),
        ("epochs=many", "epochs cannot be 'many'"),
        ("learning_rate=" + "9" * 400, "learning_rate cannot be"),
        ("batch_size=64.0", "batch_size cannot be 64.0"),
    ],
)
def test_an_impossible_change_says_what_is_possible(change, words):
    with pytest.raises(UserError, match=words):
        change_recipe(TUNED, [change])


RESERVED_NAMES = ["con", "NUL", "Aux", "prn", "com1", "LPT9", "com¹", "nul.txt", "Con.model1.2"]


@pytest.mark.parametrize("name", RESERVED_NAMES)
def test_names_that_windows_reserves_are_refused(tmp_path, name):
    with pytest.raises(recipes.InvalidNameError) as of_recipe:
        dataclasses.replace(FAST, name=name)
    with pytest.raises(recipes.InvalidNameError) as of_run:
        named_run(ProjectPaths(runs=tmp_path), name)
    assert of_recipe.value.name == of_run.value.name == name


@pytest.mark.parametrize("name", ["console", "com", "com10", "nul-seed1", "my.nul", "auxiliary"])
def test_names_like_those_that_windows_reserves_are_taken(tmp_path, name):
    assert dataclasses.replace(FAST, name=name).name == name
    assert named_run(ProjectPaths(runs=tmp_path), name).name == name


NAN, INFINITE, HUGE = "NaN", "Infinity", "9" * 400
# Values that no training could use, by the key and a recipe that has it.
IMPOSSIBLE = {
    "epochs": (TUNED, [NAN, INFINITE, "-Infinity", "0", "-1", "1000001"]),
    "learning_rate": (TUNED, [NAN, INFINITE, "0", "-1", "1e999", "1e39"]),
    "batch_size": (TUNED, ["0", "-1", "50001", HUGE]),
    "decay": (recipes.model3(), [NAN, INFINITE, "-1"]),
    "early_stopping.patience": (TUNED, ["0", "-1", HUGE]),
    "plateau.factor": (TUNED, [NAN, INFINITE, "-1", "0", "1", "2"]),
    "plateau.patience": (TUNED, ["0", "-1", HUGE]),
    "plateau.min_delta": (TUNED, [NAN, INFINITE, "-1"]),
    "exponential_decay.start": (TUNED, ["-1", HUGE]),
    "exponential_decay.rate": (TUNED, [NAN, INFINITE, "-1000"]),
    "label_smoothing": (FAST, [NAN, INFINITE, "-0.1", "1"]),
    "whitening_bias_epochs": (FAST, ["-1", HUGE]),
    "schedule.start": (FAST, [NAN, INFINITE, "-1"]),
    "schedule.peak": (FAST, [NAN, INFINITE, "-0.1", "1"]),
    "schedule.end": (FAST, [NAN, INFINITE, "-1"]),
    "lookahead.every": (FAST, ["0", "-1", HUGE]),
    "lookahead.decay": (FAST, [NAN, INFINITE, "-1", "1.5"]),
    "augmentation.translate": (FAST, ["-1", "32", HUGE]),
    "augmentation.cutout": (FAST, ["-1", "32", HUGE]),
    "sgd.momentum": (FAST, [NAN, INFINITE, "-1", "1"]),
    "sgd.weight_decay": (FAST, [NAN, INFINITE, "-1"]),
    "sgd.bias_scaler": (FAST, [NAN, INFINITE, "0"]),
    "muon.learning_rate": (recipes.airbench84(), [NAN, INFINITE, "0"]),
    "muon.momentum": (recipes.airbench84(), [NAN, INFINITE, "-1", "1"]),
    "network_options.widths": (FAST, ["[8.5]", "[0]", "[]", "8", "[NaN]", f"[{HUGE}]"]),
    "network_options.convs_per_block": (FAST, ["2.5", "0", NAN, HUGE]),
    "network_options.bn_momentum": (FAST, [NAN, INFINITE, "1"]),
    "network_options.dropouts": (TUNED, ["[1.5]", "[NaN]", "0.5"]),
    "network_options.size": (recipes.model1(), [NAN, f"[{HUGE}]"]),  # of a network of one's own
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, (_, values) in IMPOSSIBLE.items() for value in values]
)
def test_an_impossible_number_is_refused_by_its_key(key, value):
    with pytest.raises(SettingError) as caught:
        change_recipe(IMPOSSIBLE[key][0], [f"{key}={value}"])
    assert caught.value.key == key


def numeric_keys(content, prefix=""):
    """Yield the dotted keys of the numbers in a recipe."""
    for key, value in content.items():
        if isinstance(value, dict) and key != "network_options":
            yield from numeric_keys(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{key}"


def test_no_numeric_key_is_without_its_impossible_values():
    every = [recipe() for recipe in recipes.RECIPES.values()]
    keys = {key for recipe in every for key in numeric_keys(dataclasses.asdict(recipe))}
    assert keys <= IMPOSSIBLE.keys()


@pytest.mark.parametrize(("key", "new_key"), recipes.RENAMED.items())
def test_a_renamed_key_is_refused_by_its_new_name(tmp_path, key, new_key):
    content = dataclasses.asdict(FAST) | {"name": "mine"}
    for part in (content, content["sgd"], content["augmentation"], content["network_options"]):
        (tmp_path / "mine.json").write_text(json.dumps({"recipe": content}))
        assert find_recipe(str(tmp_path / "mine.json")).name == "mine"
        part[key] = 1
        (tmp_path / "mine.json").write_text(json.dumps({"recipe": content}))
        with pytest.raises(UserError, match=f"{key} is now called {new_key}"):
            find_recipe(str(tmp_path / "mine.json"))
        del part[key]
    with pytest.raises(recipes.RenamedKeyError) as caught:
        change_recipe(FAST, [f"sgd.{key}=1"])
    assert (caught.value.key, caught.value.new_key) == (key, new_key)
