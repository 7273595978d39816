"""Usage errors of `train`, and the request that reaches the training."""

import pytest

from kaggle_cifar import cli
from kaggle_cifar.api.searches import SearchRequest
from kaggle_cifar.api.train_request import TrainRequest
from kaggle_cifar.search import seeds_and_folds
from kaggle_cifar.training import train as training
from kaggle_cifar.training.signals import Interrupted


@pytest.fixture
def trained(monkeypatch):
    """Record the arguments of each training instead of training."""
    calls = []
    for module in (training, seeds_and_folds):
        monkeypatch.setattr(module, "train", lambda *arguments: calls.append(arguments))
    return calls


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "model3-tunde"], "Did you mean model3-tuned?"),
        (["train", "unheard-of"], "model1, model2, model3, model3-tuned-plateau, model3-tuned"),
        (["train", "nowhere.json"], "nowhere.json is missing"),
        (["train", "--eposh", "3"], "--epochs"),
        (["train", "--epochs", "0"], "--epochs"),
        (["train", "--epochs", "1000001"], "--epochs"),
        (["train", "--limit", "9"], "--limit"),
        (["train", "--seed", "4294967296"], "--seed"),
        (["train", "--validation", "some"], "stratified"),
        (["train", "--validation", "fold6of5"], "foldKofN with N at least 2"),
        (["train", "--time-budget", "50"], "use 50m, 1h30m or 90s"),
        (["train", "--time-budget", "1001h"], "use at most 1000h"),
        (
            ["train", "airbench94", "--set", "sgd=null"],
            "requires the key sgd",
        ),
        (["train", "--set", "epochs"], "KEY=VALUE"),
        (["train", "--set", "epochs=Infinity"], "epochs must be"),
        (["train", "--set", "plateau.factor=NaN"], "plateau.factor must be"),
        (["train", "--set", "name=x"], "Use --name"),
        (["train", "--name", "../x"], "Invalid run name '../x'"),
        (["search", "--name", "../x"], "Invalid run name '../x'"),
        (["search", "--sampler", "tpe", "--space", "nowhere.json"], "nowhere.json is missing"),
        (["predict", "../x"], "Invalid run name '../x'"),
        (["report", "../x"], "Invalid run name '../x'"),
        (["export", "../x"], "Invalid run name '../x'"),
        (["classify", "--run", "../x", "a.png"], "Invalid run name '../x'"),
        (["train", "--gpus", "nan"], "'nan' is not a number"),
        (["sample", "x", "--seed", "-1"], "'-1' is not a whole number from 0"),
        (["trian"], "No such command"),
        (["check"], "CSV"),
    ],
)
def test_usage_error_exits_with_2(run, trained, arguments, words):
    result = run(*arguments)
    assert result.status == 2
    assert words in result.errors
    assert not trained


@pytest.mark.parametrize(
    ("options", "pair"),
    [
        ("--seed 1 --seeds 3", "--seed cannot be used with --seeds"),
        ("--folds 5 --seeds 3", "--seeds cannot be used with --folds"),
        ("--folds 5 --validation none", "--folds cannot be used with --validation"),
        ("--epochs 3 --time-budget 5m", "--epochs cannot be used with --time-budget"),
        ("--on kaggle --seeds 2", "--on cannot be used with --seeds"),
        ("--on kaggle --folds 2", "--on cannot be used with --folds"),
        ("--on kaggle --tensorboard", "--on cannot be used with --tensorboard"),
        ("--epochs 3 --set epochs=5", "--epochs cannot be used with --set epochs"),
        (
            "--mixed-precision --set mixed_precision=false",
            "--mixed-precision cannot be used with --set mixed_precision",
        ),
        ("--accelerator NvidiaL4", "--accelerator requires --on"),
        ("--predict", "--predict requires --on: add --on kaggle"),
        ("--detach", "--detach requires --on"),
        ("--on kaggle --tta", "--tta requires --predict"),
        ("--address local", "--address requires --seeds or --folds"),
        ("--cpus 2", "--cpus requires --seeds or --folds"),
        ("--gpus 1", "--gpus requires --seeds or --folds"),
        ("--device cpu --on kaggle", "--device cannot be used with --on"),
        ("--device cpu --seeds 2 --gpus 1", "--device cannot be used with --gpus"),
    ],
)
def test_contradicting_options_exit_with_2(run, trained, options, pair):
    result = run("train", *options.split())
    assert result.status == 2
    assert pair in result.errors
    assert not trained


@pytest.mark.parametrize(
    ("arguments", "name", "seconds"),
    [
        ([], "airbench94", None),
        (["--seed", "1"], "airbench94-seed1", None),
        (["--time-budget", "50m"], "airbench94-50m", 3000),
        (["--time-budget", "90s", "--seed", "0"], "airbench94-1.5m-seed0", 90),
        (["--time-budget", "50m", "--name", "mine"], "mine", 3000),
        (["--time-budget", "50m", "--seeds", "1"], "airbench94-50m-seed0", 3000),
        (["--set", 'network_options={"widths":[8]}'], "airbench94,network_options=widths=8", None),
    ],
)
def test_run_name_contains_recipe_budget_and_seed(run, trained, arguments, name, seconds):
    assert run("train", "airbench94", *arguments).status == 0
    [(_, _, run_name, options, *_)] = trained
    assert (run_name, options.time_budget) == (name, seconds)


def test_folds_keep_the_seed_out_of_the_name(run, monkeypatch):
    calls = []
    monkeypatch.setattr(seeds_and_folds, "train_folds", lambda *arguments: calls.append(arguments))
    run("train", "model3", "--folds", "5", "--seed", "3")
    [(_, _, name, options, count, tensorboard, cluster)] = calls
    assert (name, options.seed, count, tensorboard, cluster) == ("model3", 3, 5, False, None)


def test_cluster_options_reach_the_seeds(run, monkeypatch):
    calls = []
    monkeypatch.setattr(seeds_and_folds, "train_seeds", lambda *arguments: calls.append(arguments))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    run("train", "model3", "--seeds", "2", "--cpus", "3", "--gpus", "0.5")
    cluster = calls[0][-1]
    assert (cluster.address, cluster.cpus, cluster.gpus) == ("10.0.0.1:6379", 3, 0.5)


def test_remote_options_reach_kaggle(run, monkeypatch):
    from kaggle_cifar.remote import train

    calls = []
    monkeypatch.setattr(train, "train_on_kaggle", lambda *arguments: calls.append(arguments))
    run("train", "model3", "--on", "kaggle", "--seed", "1", "--detach")
    run("train", "model3", "--on", "kaggle", "--accelerator", "NvidiaL4", "--predict", "--tta")
    assert [call[2] for call in calls] == ["model3-seed1", "model3"]
    assert [call[4:] for call in calls] == [
        ("NvidiaTeslaT4", False, False, True),
        ("NvidiaL4", True, True, False),
    ]


def test_epochs_override_the_recipe(run, trained):
    run("train", "model3", "--epochs", "7", "--mixed-precision", "--limit", "100")
    [(_, recipe, _, options, *_)] = trained
    assert (recipe.epochs, options.mixed_precision, options.limit) == (7, True, 100)


@pytest.mark.parametrize(
    ("arguments", "printed"), [([], True), (["model3-tuned"], True), (["airbench94"], False)]
)
def test_default_recipe_names_a_better_one(run, trained, arguments, printed):
    result = run("train", *arguments)
    assert ("airbench94 reaches 93 %" in result.output) == printed


@pytest.mark.parametrize("several", [[], ["--seeds", "1"]])
def test_tensorboard_reaches_the_training(run, trained, several):
    for option in ([], ["--tensorboard"]):
        run("train", *several, *option)
    assert [arguments[4] for arguments in trained] == [False, True]


@pytest.mark.parametrize("number", [2, 15])
def test_interrupted_training_exits_with_the_signal(run, monkeypatch, number):
    def interrupt(*_):
        raise Interrupted(number)

    monkeypatch.setattr(training, "train", interrupt)
    result = run("train", "model3")
    assert result.status == 128 + number
    assert "run the same command to resume" in result.output


def test_refused_training_leaves_no_folder(run, tmp_path):
    assert run("--runs-dir", tmp_path / "runs", "--data-dir", tmp_path, "train").status == 1
    assert not (tmp_path / "runs" / "model3-tuned").exists()


def test_parameters_match_the_request():
    fields = set(TrainRequest.__dataclass_fields__)
    assert fields == {parameter.name for parameter in cli.train.train.params}
    fields = set(SearchRequest.__dataclass_fields__)
    assert fields == {parameter.name for parameter in cli.search.search.params}
