"""The dataclasses of a recipe reject every value that cannot be trained with."""

import dataclasses

import pytest

from kaggle_cifar import recipes
from kaggle_cifar.recipes import (
    Phase,
    SettingError,
    Sharpness,
    TriangularSchedule,
    change_recipe,
)
from kaggle_cifar.recipes.validation import ConflictingSettingsError, UnknownNameError

TUNED, FAST, LARGE = recipes.model3_tuned(), recipes.airbench94(), recipes.airbench97()
SHARP = dataclasses.replace(FAST, sharpness=Sharpness(0.05))

NAN, INFINITE, HUGE = "NaN", "Infinity", "9" * 400
# Values that cannot be trained with, by the key, with a recipe that has the key.
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
    "schedule.warmup": (recipes.leaderboard(), [NAN, "-0.1", "1"]),
    "schedule.end": (FAST, [NAN, INFINITE, "-1"]),
    "progressive_resizing.size": (LARGE, ["0", "32", HUGE]),
    "progressive_resizing.share": (LARGE, ["0", "1", NAN]),
    "filtering.share": (LARGE, ["0", "1", NAN]),
    "filtering.every": (LARGE, ["0", "-1", HUGE]),
    "filtering.network_options.widths": (LARGE, ["[8.5]", "[0]", "[]"]),
    "lookahead.every": (FAST, ["0", "-1", HUGE]),
    "lookahead.decay": (FAST, [NAN, INFINITE, "-1", "1.5"]),
    "sharpness.rho": (SHARP, [NAN, INFINITE, "0", "-1"]),
    "sharpness.start": (SHARP, [NAN, "-0.1", "1"]),
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
    "network_options.size": (
        recipes.model1(),
        [NAN, f"[{HUGE}]"],
    ),  # an option that no built-in network checks
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, (_, values) in IMPOSSIBLE.items() for value in values]
)
def test_impossible_number_is_an_error_with_its_key(key, value):
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


def test_impossible_values_cover_every_numeric_key():
    every = [recipe() for recipe in recipes.RECIPES.values()]
    keys = {key for recipe in every for key in numeric_keys(dataclasses.asdict(recipe))}
    assert keys <= IMPOSSIBLE.keys()


@pytest.mark.parametrize(
    ("recipe", "key", "changes"),
    [
        (TUNED, "decay", {"decay": 0.1}),
        (TUNED, "sgd", {"optimizer": "sgd"}),
        (FAST, "muon", {"optimizer": "muon"}),
        (FAST, "schedule", {"early_stopping": recipes.EarlyStopping(1)}),
    ],
)
def test_conflicting_settings_are_an_error(recipe, key, changes):
    with pytest.raises(ConflictingSettingsError) as caught:
        dataclasses.replace(recipe, **changes)
    assert caught.value.key == key


def test_unknown_network_is_an_error():
    with pytest.raises(UnknownNameError):
        dataclasses.replace(TUNED, network="my_net.py")  # a name alone brings no code


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("network_source", {"network": "my_net.py", "network_source": [1]}),
        ("network", {"network_source": ["import keras"]}),  # not under a built-in name
        ("network", {"network": "my\nnet.py", "network_source": []}),
    ],
)
def test_impossible_own_network_is_an_error(key, changes):
    with pytest.raises(SettingError) as caught:
        dataclasses.replace(TUNED, **changes)
    assert caught.value.key == key


def test_schedule_rises_to_its_peak_and_falls():
    schedule = TriangularSchedule(start=0.2, peak=0.25, end=0.0)
    factors = [schedule.factor(progress) for progress in (0, 0.125, 0.25, 0.625, 1)]
    assert factors == pytest.approx([0.2, 0.6, 1, 0.5, 0])


def test_cosine_schedule_warms_up_linearly():
    schedule = recipes.CosineSchedule(warmup=0.2, end=0.1)
    factors = [schedule.factor(progress) for progress in (0, 0.1, 0.2, 0.6, 1)]
    assert factors == pytest.approx([0, 0.5, 1, 0.55, 0.1])
    assert recipes.CosineSchedule().factor(1 / 3) == pytest.approx(0.75)


@pytest.mark.parametrize(
    "settings",
    ['{"warmup": 0.2}', '{"warmup": 0.2, "end": 0.1}', '{"start": 0, "peak": 0, "end": 0}'],
)
def test_schedule_is_known_by_its_keys(settings):
    kind = recipes.CosineSchedule if "warmup" in settings else TriangularSchedule
    assert isinstance(change_recipe(FAST, [f"schedule={settings}"]).schedule, kind)


def test_image_size_follows_the_progress():
    sizes = [LARGE.phase(progress).image_size for progress in (0, 0.29, 0.3, 0.99)]
    assert sizes == [24, 24, 32, 32]
    assert FAST.phases == {Phase(32, None): 1}


@pytest.mark.parametrize(
    ("start", "shares"),
    [
        (0.0, {Phase(24, True): 0.3, Phase(32, True): 0.7}),
        (0.1, {Phase(24, False): 0.1, Phase(24, True): 0.2, Phase(32, True): 0.7}),
        (0.3, {Phase(24, False): 0.3, Phase(32, True): 0.7}),
        (0.8, {Phase(24, False): 0.3, Phase(32, False): 0.5, Phase(32, True): 0.2}),
    ],
)
def test_phases_share_all_steps(start, shares):
    recipe = dataclasses.replace(LARGE, sharpness=Sharpness(0.05, start=start))
    phases = recipe.phases
    assert [Phase(p.image_size, bool(p.sharpness)) for p in phases] == list(shares)
    assert list(phases.values()) == pytest.approx(list(shares.values()))
    progress = 0.0
    for phase, share in phases.items():
        assert recipe.phase(progress + share / 2) == phase
        progress += share


def test_lookahead_weight_grows_with_progress():
    lookahead = recipes.Lookahead(every=5, decay=0.95)
    weights = [lookahead.weight(progress) for progress in (0, 0.5, 1)]
    assert weights == pytest.approx([0, 0.95**5 / 8, 0.95**5])


def test_precision_is_16_bit_only_if_asked_for():
    assert (TUNED.precision, FAST.precision) == ("never", "where faster")
