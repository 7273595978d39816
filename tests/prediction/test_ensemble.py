"""Ensembles: fitted weights, folds as one member, the gain, nothing computed twice."""

import csv
import dataclasses
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaggle_cifar import cli, recipes
from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.files import read_json, write_json
from kaggle_cifar.models.inference import read_probabilities, write_probabilities
from kaggle_cifar.prediction import ensemble, predict
from kaggle_cifar.prediction.ensemble import (
    Comparison,
    DuplicateFoldError,
    NoCommonImagesError,
    NoValidationError,
    compare_members,
    describe_gain,
    group_folds,
    weigh,
)
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from tests.helpers.small_data import project_in, write_test_data, write_training_data
from tests.prediction.conftest import write_untrained_run

IMAGES = 60
TEST_IDS = [*range(3, 90, 7), 100_000]


def comparison_of(probabilities, labels):
    return Comparison([], np.asarray(labels), np.asarray(probabilities, np.float32))


def likelihood(comparison, weights):
    mean = np.tensordot(weights, comparison.probabilities.astype(float), axes=1)
    return np.log(mean[np.arange(len(comparison.labels)), comparison.labels]).mean()


def random_members(members, count, seed, sharpness=0.5):
    rng = np.random.default_rng(seed)
    return rng.dirichlet([sharpness] * 10, (members, count)) * 0.999 + 1e-4


def test_fit_weights_finds_a_known_mixture():
    rng = np.random.default_rng(0)
    probabilities = random_members(3, 4000, seed=1, sharpness=0.1)
    weights = [0.6, 0.3, 0.1]
    drawn = rng.choice(3, 4000, p=weights)
    labels = [rng.choice(10, p=p / p.sum()) for p in probabilities[drawn, np.arange(4000)]]
    found = comparison_of(probabilities, labels).fit_weights()
    np.testing.assert_allclose(found, weights, atol=0.05)


def test_fit_weights_gives_all_to_a_member_that_is_always_better():
    labels = np.arange(200) % 10
    good = 0.8 * np.eye(10)[labels] + 0.02
    weights = comparison_of([np.full((200, 10), 0.1), good], labels).fit_weights()
    np.testing.assert_allclose(weights, [0, 1], atol=1e-6)


def test_fit_weights_gives_equal_members_equal_weights():
    probabilities, labels = random_members(1, 50, seed=0)[0], np.arange(50) % 10
    np.testing.assert_allclose(comparison_of([probabilities], labels).fit_weights(), [1])
    twins = comparison_of([probabilities, probabilities], labels)
    np.testing.assert_allclose(twins.fit_weights(), [0.5, 0.5])


def test_fit_weights_accepts_labels_of_probability_0():
    labels = np.zeros(4, int)
    never, sometimes = np.eye(10)[[1] * 4], np.eye(10)[[0, 0, 1, 1]]
    weights = comparison_of([never, sometimes], labels).fit_weights()
    assert np.isfinite(weights).all()
    assert weights.sum() == pytest.approx(1)
    assert weights[1] > weights[0]


@settings(max_examples=40)
@given(
    members=st.integers(1, 5),
    count=st.integers(1, 40),
    seed=st.integers(0, 1000),
    sharpness=st.sampled_from([0.05, 0.5, 5.0]),
)
def test_fit_weights_never_lowers_the_likelihood(members, count, seed, sharpness):
    probabilities = random_members(members, count, seed, sharpness)
    labels = np.random.default_rng(seed).integers(0, 10, count)
    comparison = comparison_of(probabilities, labels)
    course = []
    for steps in (0, 1, 2, 10, 200):
        with mock.patch.object(ensemble, "EM_STEPS", steps):
            weights = comparison.fit_weights()
        assert weights.min() >= 0
        assert weights.sum() == pytest.approx(1)
        course.append(likelihood(comparison, weights))
    assert np.diff(course).min() > -1e-6
    assert course[0] == pytest.approx(likelihood(comparison, np.full(members, 1 / members)))


def test_gain_is_the_paired_difference_to_the_best():
    labels = np.zeros(8, int)

    def sure_of(classes):
        return 0.8 * np.eye(10)[classes] + 0.02

    first = sure_of([0, 0, 0, 0, 0, 1, 1, 2])  # right 5 times
    second = sure_of([0, 1, 1, 0, 0, 0, 2, 2])  # right 4 times
    second[5] = [0.98, 0.02, *[0.0] * 8]  # so sure that the mean is right
    comparison = comparison_of([first, second], labels)
    np.testing.assert_allclose(comparison.accuracies(), [5 / 8, 4 / 8])
    gain, error = comparison.gain(np.array([0.5, 0.5]))
    mean = (first + second) / 2
    differences = (mean.argmax(axis=1) == 0).astype(int) - (first.argmax(axis=1) == 0)
    assert differences.sum() != 0
    assert gain == pytest.approx(differences.mean())
    assert error == pytest.approx(np.std(differences) / np.sqrt(8))
    assert comparison.gain(np.array([1.0, 0.0])) == (0, 0)


def write_run(project, name, ids, validation="last20", seed=0, recipe=None, likes=0.5):
    """Write a run that gives the label (id modulo 10) about the probability `likes`."""
    run = Run(project.runs / name)
    options = RunOptions(validation=validation, seed=seed)
    content = {
        "recipe": dataclasses.asdict(recipe or recipes.model1()),
        "options": dataclasses.asdict(options),
    }
    write_json(run.description_file, content)
    ids = np.asarray(ids)
    rng = np.random.default_rng(len(name) + 100 * seed + ids[0])
    noise = rng.dirichlet([1] * 10, len(ids))
    labels = np.eye(10)[ids % 10]
    write_probabilities(
        run.probabilities_file("validation", "plain"), ids, likes * labels + (1 - likes) * noise
    )
    return run


@pytest.fixture
def project(tmp_path):
    project = project_in(tmp_path)
    write_training_data(project, 100)
    return project


def write_folds(project, name, folds=3, **settings):
    ids = np.random.default_rng(0).permutation(np.arange(1, 101))
    return [
        write_run(
            project,
            f"{name}-fold{i + 1}of{folds}",
            ids[i::folds],
            f"fold{i + 1}of{folds}",
            **settings,
        )
        for i in range(folds)
    ]


def test_group_folds_makes_folds_one_member_and_seeds_several(project):
    folds = write_folds(project, "model1")
    others = write_folds(project, "second", recipe=recipes.model2())
    seeds = [write_run(project, f"seed{i}", range(81, 101), seed=i) for i in (0, 1)]
    members = group_folds([*folds, seeds[0], *others, seeds[1]])
    assert [member.runs for member in members] == [
        tuple(folds),
        (seeds[0],),
        tuple(others),
        (seeds[1],),
    ]


def test_group_folds_separates_other_recipes_and_fold_counts(project):
    short = dataclasses.replace(recipes.model1(), epochs=2)
    one, other = (
        write_run(project, name, range(1, 34), "fold1of3", recipe=recipe)
        for name, recipe in (("long", None), ("short", short))
    )
    assert [member.runs for member in group_folds([one, other])] == [(one,), (other,)]
    fifth = write_run(project, "fifth", range(34, 54), "fold2of5")
    assert len(group_folds([one, fifth])) == 2


def test_group_folds_ignores_the_epochs_of_a_time_budget(project):
    folds = write_folds(project, "model1")
    for epochs, run in enumerate(folds, 3):
        content = read_json(run.description_file)
        content["recipe"]["epochs"] = epochs / 2
        content["options"]["time_budget"] = 60.0
        write_json(run.description_file, content)
    assert [member.runs for member in group_folds(folds)] == [tuple(folds)]


def test_folds_are_compared_on_every_image(project):
    first, second = (
        write_folds(project, "a", likes=0.3),
        write_folds(project, "b", recipe=recipes.model2(), likes=0.1),
    )
    comparison = compare_members(project, [*first, *second], "plain")
    np.testing.assert_array_equal(comparison.labels, np.arange(1, 101) % 10)
    assert comparison.probabilities.shape == (2, 100, 10)
    of_label = comparison.probabilities[:, np.arange(100), comparison.labels]
    assert of_label[0].min() >= 0.3  # each image with its own label
    weights = weigh(project, [*first, *second], "plain")
    assert sum(weights) == pytest.approx(1)
    fitted = comparison.fit_weights()
    np.testing.assert_allclose(weights, np.repeat(fitted / 3, 3))
    assert fitted[0] > fitted[1]


def test_members_are_compared_on_common_images(project):
    folds = write_folds(project, "folds")
    last = write_run(project, "last", range(84, 100))
    comparison = compare_members(project, [last, *folds], "plain")
    np.testing.assert_array_equal(comparison.labels, np.arange(84, 100) % 10)
    text = describe_gain(project, [last, *folds], "plain", None)
    assert "16 validation images" in text
    assert "last, weight 0.250" in text
    assert "folds-fold1of3+folds-fold2of3+folds-fold3of3, weight 0.750" in text
    best = comparison.accuracies().max()
    gain, error = comparison.gain(np.array([0.25, 0.75]))
    half = 1.959964 * error
    assert f"{best + gain:.4f}  ensemble, {gain:+.4f} ± {half:.4f} (95 %) compared" in text
    assert "fitted" not in text
    weighted = describe_gain(project, [last, *folds], "plain", [0.7, 0.1, 0.1, 0.1])
    assert "last, weight 0.700" in weighted
    assert "fitted to these images" in weighted


def test_weigh_refuses_runs_without_common_images(project):
    runs = [write_run(project, "early", range(1, 40)), write_run(project, "late", range(81, 101))]
    with pytest.raises(NoCommonImagesError) as caught:
        weigh(project, runs, "plain")
    assert caught.value.names == ["early", "late"]
    text = describe_gain(project, runs, "plain", None)
    assert text == f"The gain of the ensemble is unknown: {caught.value}"


def test_weigh_refuses_a_run_without_validation(project):
    runs = [write_run(project, name, range(81, 101)) for name in ("one", "two")]
    with pytest.raises(NoValidationError) as caught:
        weigh(project, runs, "tta")
    assert caught.value.path == runs[0].probabilities_file("validation", "tta")
    missing = runs[1].probabilities_file("validation", "plain")
    missing.unlink()
    with pytest.raises(NoValidationError) as caught:
        weigh(project, runs, "plain")
    assert caught.value.path == missing


def test_weigh_refuses_a_fold_named_twice(project):
    folds = write_folds(project, "folds")
    with pytest.raises(DuplicateFoldError) as caught:
        weigh(project, [*folds, folds[1]], "plain")
    assert caught.value.count == 33


# Through the command, with real networks


@pytest.fixture(scope="module")
def trained(tmp_path_factory, small_recipe):
    """Three runs of a small network with the same validation images, and test images."""
    trained = project_in(tmp_path_factory.mktemp("ensembles"))
    write_training_data(trained, IMAGES)
    write_test_data(trained, TEST_IDS)
    for seed in range(3):
        run = write_untrained_run(trained, small_recipe, f"run{seed}", seed=seed)
        rows = read_probabilities(run.probabilities_file("validation", "plain"))
        tta = run.probabilities_file("validation", "tta")
        write_probabilities(tta, rows["id"], rows["probabilities"])
    return trained


@pytest.fixture
def predicted_runs(monkeypatch):
    """The list of the views that networks are asked for."""
    asked, compile_forward = [], predict.compile_forward

    def recording(model, views):
        asked.append(views)
        return compile_forward(model, views)

    monkeypatch.setattr(predict, "compile_forward", recording)
    return asked


def run_predict(trained, *arguments):
    folders = [
        word
        for name in ("data", "runs", "submissions")
        for word in (f"--{name}-dir", str(getattr(trained, name)))
    ]
    cli.cli.main([*folders, "predict", *arguments], standalone_mode=False)


@pytest.mark.slow
def test_predict_weighs_runs_with_tta_and_computes_once(trained, predicted_runs, capsys):
    run_predict(trained, "run0", "run1", "--tta", "--weighted")
    assert predicted_runs == ["plain", "augmented"] * 2
    output = capsys.readouterr().out
    assert "Accuracy on the 12 validation images" in output
    assert "the weights were fitted to these images" in output

    runs = [Run(trained.runs / name) for name in ("run0", "run1", "run2")]
    weights = weigh(trained, runs[:2], "tta")
    kept = [np.load(run.probabilities_file("test", "tta")) for run in runs[:2]]
    mean = weights[0] * kept[0]["probabilities"] + weights[1] * kept[1]["probabilities"]
    path = trained.submissions / "run0+run1-tta-weighted.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == sorted(TEST_IDS)
    assert [row["label"] for row in rows] == [CLASS_NAMES[i] for i in mean.argmax(axis=1)]
    # With TTA, the probabilities differ from those without, which are kept too.
    run_predict(trained, "run0")
    assert predicted_runs == ["plain", "augmented"] * 2
    plain = np.load(runs[0].probabilities_file("test", "plain"))
    assert np.abs(plain["probabilities"] - kept[0]["probabilities"]).max() > 1e-6

    predicted_runs.clear()
    run_predict(trained, "run0", "run1", "--tta", "--weighted")
    run_predict(trained, "run0", "run1", "--tta")
    assert predicted_runs == []
    assert {file.name for file in trained.submissions.glob("*.csv")} == {
        "run0+run1-tta-weighted.csv",
        "run0+run1-tta.csv",
        "run0.csv",
    }
    run_predict(trained, "run0", "run1", "run2", "--tta")
    assert predicted_runs == ["plain", "augmented"]
    capsys.readouterr()
    run_predict(trained, "run0", "--weighted")
    assert "compared with the best" not in capsys.readouterr().out
