"""The recipes: network, optimiser, schedule and stopping under one name.

A recipe is frozen: what it gives on the same data is known. A changed one is another recipe.
"""

import dataclasses
import difflib
import json
import math
import re
import reprlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaggle_cifar import models
from kaggle_cifar.competition import IMAGE_SIZE, TRAIN_COUNT
from kaggle_cifar.errors import UserError
from kaggle_cifar.fields import LARGEST_NUMBER, is_number
from kaggle_cifar.files import from_json, read_json
from kaggle_cifar.tensorflow_setup import MixedPrecision

DEFAULT = "model3-tuned"
BETTER_THAN_DEFAULT = (
    "This is the student project's recipe. airbench84 does better in a fortieth of its time, "
    "airbench94 reaches 93 % in a third: `kaggle-cifar train airbench94`."
)
NAME = r"\w[\w.,=+-]*"  # of a recipe or a run: a folder of that name is made
WINDOWS_DEVICES = frozenset(
    (
        "con",
        "prn",
        "aux",
        "nul",
        *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³"),
    )
)
OPTIMIZERS = ("adam", "rmsprop", "legacy-rmsprop", "sgd", "muon")
RENAMED = {  # keys of recipes
    "bias_factor": "bias_scaler",
    "convolutions": "convs_per_block",
    "identity_start": "dirac_init",
    "l2": "weight_decay",
    "shift": "translate",
    "whole_batches": "drop_last",
}
FLIPS = ("none", "random", "alternating")
MOST_EPOCHS = 1_000_000
LARGEST_COUNT = 2**31 - 1  # of epochs, steps or filters; TensorFlow counts no further


class SettingError(UserError):
    """A setting has a value that no training could use; `key` says which."""

    def __init__(self, key: str, expected: str, value: Any) -> None:
        super().__init__(f"{key} must be {expected}, not {reprlib.repr(value)}.")
        self.key = key


def require_number(
    key: str, value: Any, low: float, high: float = math.inf, whole: bool = False
) -> None:
    """Raise a SettingError unless `value` is a finite number from `low` to `high`, both included.

    With `whole`, it must be an int.
    """
    high = min(high, LARGEST_COUNT if whole else LARGEST_NUMBER)
    if not is_number(value, low, high) or (whole and type(value) is not int):
        kind = "a whole number" if whole else "a number"
        raise SettingError(key, f"{kind} from {low:,} to {high:,}", value)


def require_positive(key: str, value: Any, high: float = math.inf) -> None:
    """Raise a SettingError unless `value` is a finite number of more than 0, at most `high`."""
    if not is_number(value, 0, min(high, LARGEST_NUMBER)) or value == 0:
        highest = f"{high:,}" if high < math.inf else f"{LARGEST_NUMBER:g}"
        raise SettingError(key, f"a number of more than 0 and at most {highest}", value)


def require_not_negative(key: str, value: Any) -> None:
    """Raise a SettingError unless `value` is a finite number of at least 0."""
    if not is_number(value, 0):
        raise SettingError(key, "a number of at least 0", value)


def require_share(key: str, value: Any) -> None:
    """Raise a SettingError unless `value` is at least 0 and less than 1."""
    if not is_number(value, 0) or value >= 1:
        raise SettingError(key, "at least 0 and less than 1", value)


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after `patience` epochs without a new lowest validation loss; keep its weights."""

    patience: int

    def __post_init__(self) -> None:
        require_number("early_stopping.patience", self.patience, 1, whole=True)


@dataclass(frozen=True)
class ReduceLROnPlateau:
    """Multiply the rate by `factor` after `patience` epochs without improvement.

    Improvement is a validation loss lower than the best by more than `min_delta`.
    """

    factor: float
    patience: int = 2
    min_delta: float = 1e-4

    def __post_init__(self) -> None:
        if not is_number(self.factor, 0, 1) or self.factor in (0, 1):
            raise SettingError("plateau.factor", "more than 0 and less than 1", self.factor)
        require_number("plateau.patience", self.patience, 1, whole=True)
        require_not_negative("plateau.min_delta", self.min_delta)


@dataclass(frozen=True)
class ExponentialDecay:
    """From zero-based epoch `start` on, multiply the standing rate by e^-`rate` at each start."""

    start: int
    rate: float

    def __post_init__(self) -> None:
        require_number("exponential_decay.start", self.start, 0, whole=True)
        require_not_negative("exponential_decay.rate", self.rate)


@dataclass(frozen=True)
class TriangularSchedule:
    """Let the rate rise from `start` times its value to all of it, then fall to `end` times.

    Both are linear in the steps; `peak` is the part of all steps that the rise takes.
    """

    start: float
    peak: float
    end: float

    def __post_init__(self) -> None:
        require_share("schedule.peak", self.peak)
        for key in ("start", "end"):
            require_not_negative(f"schedule.{key}", getattr(self, key))

    def factor(self, progress: float) -> float:
        """Return the factor of the rate when a part of all steps, 0 to 1, is done."""
        if progress < self.peak:
            return self.start + (1 - self.start) * progress / self.peak
        return 1 + (self.end - 1) * (progress - self.peak) / (1 - self.peak)


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with Nesterov's momentum and coupled L2, for a mean loss.

    Biases of batch normalisations get `bias_scaler` times the rate and as much less L2.
    """

    momentum: float
    weight_decay: float
    bias_scaler: float

    def __post_init__(self) -> None:
        require_share("sgd.momentum", self.momentum)
        require_not_negative("sgd.weight_decay", self.weight_decay)
        require_positive("sgd.bias_scaler", self.bias_scaler)


@dataclass(frozen=True)
class Muon:
    """The rate and momentum of convolutions' kernels, whose steps are orthogonalised."""

    learning_rate: float
    momentum: float

    def __post_init__(self) -> None:
        require_positive("muon.learning_rate", self.learning_rate)
        require_share("muon.momentum", self.momentum)


@dataclass(frozen=True)
class Lookahead:
    """Draw the network's state every few steps to slow weights, more so towards the end.

    Slow weights move to d * slow + (1 - d) * fast, with d = decay^every * progress^3; they are
    the result.
    """

    every: int = 5
    decay: float = 0.95

    def __post_init__(self) -> None:
        require_number("lookahead.every", self.every, 1, whole=True)
        require_share("lookahead.decay", self.decay)

    def weight(self, progress: float) -> float:
        """Return d when a part of all steps, 0 to 1, is done."""
        return float(self.decay**self.every * progress**3)


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied: pixels of shift, sides of squares cut out, mirroring.

    An "alternating" flip mirrors a random half of the images in the first epoch and the others
    in the next, in turn, so that two epochs show each image both ways.
    """

    flip: str = "none"
    translate: int = 0
    cutout: int = 0

    def __post_init__(self) -> None:
        require_one_of("flip", self.flip, FLIPS)
        for key in ("translate", "cutout"):
            value = getattr(self, key)
            require_number(f"augmentation.{key}", value, 0, IMAGE_SIZE - 1, whole=True)


@dataclass(frozen=True)
class Recipe:
    """All that decides a training besides the data and the seed.

    Raises
    ------
    SettingError
        When a value is one that no training could use.
    UserError
        When a name is unknown, or settings exclude each other.
    """

    name: str
    network: str
    optimizer: str
    learning_rate: float
    batch_size: int
    epochs: float  # of a part of an epoch, its first batches
    network_options: dict[str, Any] = field(default_factory=dict)  # of the network's `build`
    decay: float = 0.0  # a step, for legacy-rmsprop
    sgd: SGD | None = None  # for sgd and muon
    muon: Muon | None = None
    early_stopping: EarlyStopping | None = None
    plateau: ReduceLROnPlateau | None = None
    exponential_decay: ExponentialDecay | None = None
    schedule: TriangularSchedule | None = None
    lookahead: Lookahead | None = None
    label_smoothing: float = 0.0
    augmentation: Augmentation | None = None
    drop_last: bool = False  # leave out an epoch's last images where they fill no batch
    whitening_bias_epochs: int | None = None  # then that of the layer "whitening" is frozen
    mixed_precision: bool = False  # where the hardware is faster with it
    xla: bool = False  # on a GPU

    def __post_init__(self) -> None:
        require_name("recipe", self.name)
        require_one_of("network", self.network, models.names())
        require_one_of("optimizer", self.optimizer, OPTIMIZERS)
        require_share("label_smoothing", self.label_smoothing)
        require_positive("learning_rate", self.learning_rate)
        require_positive("epochs", self.epochs, MOST_EPOCHS)
        require_number("batch_size", self.batch_size, 1, TRAIN_COUNT, whole=True)
        require_not_negative("decay", self.decay)
        if self.whitening_bias_epochs is not None:
            require_number("whitening_bias_epochs", self.whitening_bias_epochs, 0, whole=True)
        require_network_options(self.network, self.network_options)
        if self.decay and self.optimizer != "legacy-rmsprop":
            raise UserError(
                f"decay belongs to the optimizer legacy-rmsprop; {self.optimizer} has none."
            )
        for key, optimizers in (("sgd", ("sgd", "muon")), ("muon", ("muon",))):
            if (getattr(self, key) is not None) != (self.optimizer in optimizers):
                raise UserError(
                    f"The settings {key!r} belong to the optimizer {' or '.join(optimizers)}, "
                    f"which cannot do without; this recipe's is {self.optimizer}."
                )
        if self.schedule and (self.plateau or self.exponential_decay or self.early_stopping):
            raise UserError(
                "A schedule sets the rate of every step up to the last: it excludes plateau, "
                "exponential_decay and early_stopping."
            )

    @property
    def precision(self) -> MixedPrecision:
        """When the recipe wants 16-bit activations, as `runtime.start_tensorflow` takes it."""
        return "where faster" if self.mixed_precision else "never"


class InvalidNameError(UserError):
    """A name of which no folder can be made on every system; `name` says which."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def require_name(kind: str, name: str) -> None:
    """Raise an InvalidNameError unless a recipe or a run may have `name`.

    Windows takes `nul`, and also `nul.txt`, for a device in every folder.
    """
    if not re.fullmatch(NAME, name):
        raise InvalidNameError(
            name,
            f"A {kind}'s name begins with a letter or digit and has letters, digits and "
            f". , = + - _, but {name!r} was given.",
        )
    if name.partition(".")[0].lower() in WINDOWS_DEVICES:
        raise InvalidNameError(
            name,
            f"{name!r} cannot be the name of a {kind}: Windows reserves it for a device. "
            "Choose another name.",
        )


def check_renamed_keys(content: Any) -> None:
    """Raise a RenamedKeyError if a recipe's JSON has a key by an old name."""
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        if key in RENAMED:
            raise RenamedKeyError(key)
        check_renamed_keys(value)


class RenamedKeyError(UserError):
    """A recipe has a key by an old name; `key` is that, `new_key` the name of today."""

    def __init__(self, key: str) -> None:
        self.key, self.new_key = key, RENAMED[key]
        super().__init__(f"The key {key} is now called {self.new_key}. Rename it in the recipe.")


def require_one_of(kind: str, name: str, names: Iterable[str]) -> None:
    """Raise a UserError that suggests the nearest of `names`, unless `name` is one of them."""
    names = list(names)
    if name in names:
        return
    near = difflib.get_close_matches(name, names, n=1)
    suggestion = f" Did you mean {near[0]}?" if near else ""
    raise UserError(f"There is no {kind} {name!r}.{suggestion} There are: {', '.join(names)}.")


def require_network_options(network: str, options: dict[str, Any]) -> None:
    """Raise a SettingError unless the options of a network have values that it can be built with.

    Whether it has such options shows when it is built.
    """
    of_network = NETWORK_OPTIONS.get(network, {})
    for key, value in options.items():
        path = f"network_options.{key}"
        for part in value if isinstance(value, list | tuple) else [value]:
            if isinstance(part, int | float) and not isinstance(part, bool):
                require_number(path, part, -LARGEST_COUNT, LARGEST_COUNT)
        if key in of_network:
            of_network[key](path, value)


def require_sizes(key: str, value: Any) -> None:
    """Raise a SettingError unless `value` is a list of whole numbers of at least 1."""
    if not isinstance(value, list | tuple) or not value:
        raise SettingError(key, "a list of whole numbers", value)
    for size in value:
        require_number(key, size, 1, whole=True)


def require_shares(key: str, value: Any) -> None:
    """Raise a SettingError unless `value` is a list of numbers of at least 0 and less than 1."""
    if not isinstance(value, list | tuple) or not value:
        raise SettingError(key, "a list of numbers", value)
    for share in value:
        require_share(key, share)


def require_count(key: str, value: Any) -> None:
    """Raise a SettingError unless `value` is a whole number of at least 1."""
    require_number(key, value, 1, whole=True)


# Here, not beside the networks: importing those imports TensorFlow.
NETWORK_OPTIONS: dict[str, dict[str, Callable[[str, Any], None]]] = {
    "model3": {"widths": require_sizes, "dropouts": require_shares},
    "airbench": {
        "widths": require_sizes,
        "convs_per_block": require_count,
        "bn_momentum": require_share,
    },
}


def model1() -> Recipe:
    """The student project's first network, with Adam and Keras' default rate and batch size.

    There, the public test set served as validation data and the last epoch was kept. Here, a
    part of the training images does: the test labels are for nobody to look at.
    Reached 0.688 on the last 20 % (one seed; its best epoch 0.704).
    """
    return Recipe(
        name="model1",
        network="model1",
        optimizer="adam",
        learning_rate=1e-3,
        batch_size=32,
        epochs=25,
    )


def model2() -> Recipe:
    """The student project's second network, trained and judged as its first, for 15 epochs.

    Reached 0.708 on the last 20 % (one seed).
    """
    return dataclasses.replace(model1(), name="model2", network="model2", epochs=15)


def model3() -> Recipe:
    """Model 3 as the student project first trained it: 0.8462 on held-out images there.

    RMSprop of Keras 2 with a decay of 1e-6 a step, beside a rate that falls on plateaus.
    Reached 0.850 on the last 20 % (one seed) in 24 epochs.
    """
    return Recipe(
        name="model3",
        network="model3",
        optimizer="legacy-rmsprop",
        learning_rate=1e-3,
        decay=1e-6,
        batch_size=64,
        epochs=50,
        early_stopping=EarlyStopping(patience=5),
        plateau=ReduceLROnPlateau(factor=0.2),
    )


def model3_tuned_plateau() -> Recipe:
    """Model 3 with the rate and batch size that the student project's search chose.

    Reached 0.820 on the last 20 % (one seed) in 40 epochs.
    """
    return Recipe(
        name="model3-tuned-plateau",
        network="model3",
        optimizer="rmsprop",
        learning_rate=1e-2,
        batch_size=32,
        epochs=40,
        early_stopping=EarlyStopping(patience=5),
        plateau=ReduceLROnPlateau(factor=0.5),
    )


def model3_tuned() -> Recipe:
    """Model 3 tuned, its rate decaying from the eleventh epoch: 0.8261 in the student project.

    Reached 0.818 on the last 20 % (one seed) in 40 epochs.
    """
    return dataclasses.replace(
        model3_tuned_plateau(),
        name="model3-tuned",
        exponential_decay=ExponentialDecay(start=10, rate=0.1),
    )


def airbench84() -> Recipe:
    """More than the student project reached, within a minute on two cores.

    airbench's network with two fifths of its parameters for two short epochs, its convolutions
    trained by Muon (cifar10-airbench's airbench94_muon.py) in small batches, at a rate that only
    falls.
    """
    return dataclasses.replace(
        airbench94(),
        name="airbench84",
        network_options={"widths": [32, 64, 256]},
        optimizer="muon",
        learning_rate=0.75,
        muon=Muon(learning_rate=0.24, momentum=0.6),
        batch_size=512,
        epochs=2,
        schedule=TriangularSchedule(start=1, peak=0, end=0),
        lookahead=None,
        whitening_bias_epochs=0,
    )


def airbench94() -> Recipe:
    """The smallest of airbench's recipes: published 94.01 % with six views on 50,000 images.

    After Keller Jordan, arXiv 2404.00498, and its code in cifar10-airbench.
    """
    return Recipe(
        name="airbench94",
        network="airbench",
        optimizer="sgd",
        learning_rate=1.5,
        batch_size=1024,
        epochs=9.9,
        sgd=SGD(momentum=0.85, weight_decay=1.330e-3, bias_scaler=64),
        schedule=TriangularSchedule(start=0.2, peak=0.23, end=0.07),
        lookahead=Lookahead(),
        label_smoothing=0.2,
        augmentation=Augmentation(flip="alternating", translate=2),
        drop_last=True,
        whitening_bias_epochs=3,
        mixed_precision=True,
        xla=True,
    )


def airbench95() -> Recipe:
    """Airbench's middle recipe: published 95.01 % with six views on 50,000 images."""
    recipe = airbench94()
    return dataclasses.replace(
        recipe,
        name="airbench95",
        network_options={"widths": [128, 384, 384]},
        learning_rate=1.304,
        sgd=SGD(momentum=0.85, weight_decay=1.53e-3, bias_scaler=64),
        epochs=15,
    )


def airbench96() -> Recipe:
    """Airbench's largest recipe: published 96.03 % with six views on 50,000 images."""
    recipe = airbench94()
    return dataclasses.replace(
        recipe,
        name="airbench96",
        network_options={"widths": [128, 384, 512], "convs_per_block": 3, "bn_momentum": 0.9},
        learning_rate=1.174,
        sgd=SGD(momentum=0.85, weight_decay=1.333e-3, bias_scaler=64),
        schedule=TriangularSchedule(start=0.2, peak=0.1, end=0),
        augmentation=Augmentation(flip="alternating", translate=4, cutout=12),
        epochs=37,
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    recipe().name: recipe
    for recipe in (
        model1,
        model2,
        model3,
        model3_tuned_plateau,
        model3_tuned,
        airbench84,
        airbench94,
        airbench95,
        airbench96,
    )
}


def find_recipe(name_or_file: str) -> Recipe:
    """Return the recipe of that name, or the one in a JSON file.

    The file is a run's run.json, changed, or the part of it under "recipe".

    Raises
    ------
    UserError
        When there is none; it lists those there are and suggests the nearest. When the file
        has unknown keys or impossible values, or gives a recipe of this program another content.
    """
    if not name_or_file.endswith(".json"):
        require_one_of("recipe", name_or_file, RECIPES)
        return RECIPES[name_or_file]()
    file = Path(name_or_file)
    content = read_json(file)
    try:
        check_renamed_keys(content)
        recipe: Recipe = from_json(Recipe, content.get("recipe", content))
    except (TypeError, AttributeError, UserError) as error:
        raise UserError(f"{file} is not a recipe: {error}") from None
    if recipe.name in RECIPES and recipe != RECIPES[recipe.name]():
        raise UserError(
            f'{file} changes the recipe {recipe.name}: give it another "name", so that results '
            "stay apart."
        )
    return recipe


def change_recipe(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """Return the recipe with changes like `learning_rate=0.003` or `plateau.factor=0.1`.

    Values are JSON, or text where they are not. The changes become part of the recipe's name,
    without the characters that a folder's name must not have.

    Raises
    ------
    UserError
        When a change has no "=", an unknown key or an impossible value.
    """
    content = dataclasses.asdict(recipe)
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or key == "name":
            raise UserError(f"A change is KEY=VALUE, with a recipe's key, not {change!r}.")
        *parents, last = key.split(".")
        check_renamed_keys({last: None})
        part = content
        for parent in parents:
            require_one_of("key", parent, part)
            part = part[parent]
            if not isinstance(part, dict):
                raise UserError(f"{recipe.name} has no {parent}, so {key} cannot be changed.")
        if parents != ["network_options"]:  # the network knows its own
            require_one_of("key", last, part)
        part[last] = parse_value(text)
    content["name"] = ",".join([recipe.name, *map(name_part, changes)])
    try:
        changed: Recipe = from_json(Recipe, content)
    except TypeError as error:
        raise UserError(f"{', '.join(changes)}: {error}.") from None
    return changed


def name_part(change: str) -> str:
    """Return a change as it may stand in a name: `muon={"momentum":0.6}` as `muon=momentum=0.6`."""
    return re.sub(r"[^\w.,=+-]", "", change.replace(":", "="))


def parse_value(text: str) -> Any:
    """Return the JSON value that `text` is, or `text`."""
    try:
        return json.loads(text)
    except ValueError:
        return text
