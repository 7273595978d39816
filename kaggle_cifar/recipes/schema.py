"""The settings of a training, as frozen dataclasses that reject impossible values."""

import itertools
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaggle_cifar import models
from kaggle_cifar.competition import IMAGE_SIZE, TRAIN_COUNT
from kaggle_cifar.errors import UserError
from kaggle_cifar.fields import FROM_0, TEXT, Kind, optional
from kaggle_cifar.models.own_network import ChangedNetworkError
from kaggle_cifar.recipes.augmentation import Augmentation
from kaggle_cifar.recipes.schedules import (
    CosineSchedule,
    EarlyStopping,
    ExponentialDecay,
    Phase,
    ProgressiveResizing,
    ReduceLROnPlateau,
    Sharpness,
    TriangularSchedule,
)
from kaggle_cifar.recipes.validation import (
    FRACTION,
    LARGEST_INTEGER,
    PROPER_FRACTION,
    ConflictingSettingsError,
    check_setting,
    check_types,
    list_of,
    number,
    positive,
    require_name,
    require_one_of,
    type_words,
    validate,
    whole_number,
)
from kaggle_cifar.tensorflow_setup import MixedPrecision

OPTIMIZERS = ("adam", "rmsprop", "legacy-rmsprop", "sgd", "muon")
OPTIMIZERS_OF = {"sgd": ("sgd", "muon"), "muon": ("muon",)}  # that need a key of the recipe
MOST_EPOCHS = 1_000_000
RENAMED = {  # old keys of recipes, and their names now
    "bias_factor": "bias_scaler",
    "convolutions": "convs_per_block",
    "identity_start": "dirac_init",
    "l2": "weight_decay",
    "shift": "translate",
    "whole_batches": "drop_last",
}

# Importing the networks imports TensorFlow. Here, a recipe is checked without it.
NETWORK_OPTIONS: dict[str, dict[str, Kind]] = {
    "model3": {"widths": list_of(whole_number(1)), "dropouts": list_of(FRACTION)},
    "airbench": {
        "widths": list_of(whole_number(1)),
        "convs_per_block": whole_number(1),
        "bn_momentum": FRACTION,
    },
    "wide_resnet": {
        "depth": whole_number(10),
        "width": whole_number(1),
        "dropout": FRACTION,
    },
}

SOURCE = Kind(
    "a list of lines",
    lambda value: isinstance(value, list) and all(isinstance(line, str) for line in value),
)
OWN_NETWORK = Kind(
    "a file like my_net.py or a module like my_package.my_net with network_source",
    lambda value: models.is_own(value) and TEXT.accepts(value),
)


class RenamedKeyError(UserError):
    """A recipe uses an old key; `key` is the old name, `new_key` the current one."""

    def __init__(self, key: str) -> None:
        self.key, self.new_key = key, RENAMED[key]
        super().__init__(f"The key {key} is now called {self.new_key}. Rename it in the recipe.")


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with Nesterov momentum and coupled weight decay.

    The weight decay is for a mean loss. The biases of batch normalization get `bias_scaler` times
    the learning rate and the weight decay divided by it.
    """

    momentum: float
    weight_decay: float
    bias_scaler: float

    def __post_init__(self) -> None:
        kinds = {"momentum": FRACTION, "weight_decay": FROM_0, "bias_scaler": positive()}
        validate(self, "sgd.", **kinds)


@dataclass(frozen=True)
class Muon:
    """Learning rate and momentum of the convolution kernels, whose steps are orthogonalized."""

    learning_rate: float
    momentum: float

    def __post_init__(self) -> None:
        validate(self, "muon.", learning_rate=positive(), momentum=FRACTION)


@dataclass(frozen=True)
class Lookahead:
    """Interpolate the weights towards a slow copy every few steps, more so towards the end.

    The slow weights become d * slow + (1 - d) * fast with d = decay^every * progress^3. They are
    the result.
    """

    every: int = 5
    decay: float = 0.95

    def __post_init__(self) -> None:
        validate(self, "lookahead.", every=whole_number(1), decay=FRACTION)

    def weight(self, progress: float) -> float:
        """Return d after the fraction `progress` of all steps."""
        return float(self.decay**self.every * progress**3)


@dataclass(frozen=True)
class ProxyFiltering:
    """Train on the `share` of each batch on which a small network, the proxy, has the highest loss.

    The proxy is the recipe's network with other `network_options`. It sees all images of each batch
    and is trained on the chosen ones in every `every`-th step, with the recipe's optimizer.
    """

    network_options: dict[str, Any]
    share: float = 0.5
    every: int = 4

    def __post_init__(self) -> None:
        validate(self, "filtering.", share=PROPER_FRACTION, every=whole_number(1))

    def count(self, images: int) -> int:
        """Return how many images of a batch are chosen."""
        return math.ceil(self.share * images)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training besides the data and the seed.

    Raises
    ------
    SettingError
        When a value cannot be trained with.
    UnknownNameError
        When there is no such network, optimizer or flip.
    InvalidNameError
        When its name cannot name a folder.
    ConflictingSettingsError
        When settings exclude each other.

    Examples
    --------
    >>> import dataclasses
    >>> import kaggle_cifar as kc
    >>> first = kc.Recipe(
    ...     name="mine",
    ...     network="model3",
    ...     optimizer="adam",
    ...     learning_rate=0.002,
    ...     batch_size=128,
    ...     epochs=30,
    ... )
    >>> dataclasses.replace(first, name="mine-longer", epochs=60).epochs
    60
    """

    name: str
    network: str  # built in, or the name of an own network's file or module
    optimizer: str
    learning_rate: float
    batch_size: int
    epochs: float  # the last one may be a part of an epoch
    network_source: list[str] | None = None  # the lines of an own network's code
    network_options: dict[str, Any] = field(default_factory=dict)  # arguments of its `build`
    decay: float = 0.0  # per step, for legacy-rmsprop
    sgd: SGD | None = None  # for sgd and muon
    muon: Muon | None = None
    early_stopping: EarlyStopping | None = None
    plateau: ReduceLROnPlateau | None = None
    exponential_decay: ExponentialDecay | None = None
    schedule: TriangularSchedule | CosineSchedule | None = None
    lookahead: Lookahead | None = None
    sharpness: Sharpness | None = None
    label_smoothing: float = 0.0
    augmentation: Augmentation | None = None
    progressive_resizing: ProgressiveResizing | None = None
    filtering: ProxyFiltering | None = None
    drop_last: bool = False  # drop the last images of an epoch if they do not fill a batch
    whitening_bias_epochs: int | None = None  # then the bias of the layer "whitening" is frozen
    mixed_precision: bool = False  # if the hardware is faster with it
    xla: bool = False  # on a GPU

    def __post_init__(self) -> None:
        require_name("recipe", self.name)
        validate(
            self,
            label_smoothing=FRACTION,
            learning_rate=positive(),
            epochs=positive(MOST_EPOCHS),
            batch_size=whole_number(1, TRAIN_COUNT),
            decay=FROM_0,
            whitening_bias_epochs=optional(whole_number(0)),
        )
        check_types(self)
        self._check_network()
        require_one_of("optimizer", self.optimizer, OPTIMIZERS)
        self._check_conflicts()

    def _check_network(self) -> None:
        if self.network_source is None:
            require_one_of("network", self.network, models.names())
        else:
            check_setting("network_source", self.network_source, SOURCE)
            check_setting("network", self.network, OWN_NETWORK)
        check_network_options(self.network, self.network_options)
        if self.filtering:
            options = self.filtering.network_options
            check_network_options(self.network, options, "filtering.network_options")

    def _check_conflicts(self) -> None:
        if self.decay and self.optimizer != "legacy-rmsprop":
            raise ConflictingSettingsError(
                "decay",
                f"decay is for the optimizer legacy-rmsprop, not {self.optimizer}. Set decay to 0, "
                "or use that optimizer.",
            )
        for key, optimizers in OPTIMIZERS_OF.items():
            given, required = getattr(self, key) is not None, self.optimizer in optimizers
            if required and not given:
                keys = type_words(SGD if key == "sgd" else Muon)
                raise ConflictingSettingsError(
                    key,
                    f"The optimizer {self.optimizer} requires the key {key}, {keys}. Add it, or "
                    "use another optimizer.",
                )
            if given and not required:
                raise ConflictingSettingsError(
                    key,
                    f"The key {key} is for the optimizer {' or '.join(optimizers)}, not "
                    f"{self.optimizer}. Set {key} to null, or use that optimizer.",
                )
        if self.schedule and (self.plateau or self.exponential_decay or self.early_stopping):
            raise ConflictingSettingsError(
                "schedule",
                "A schedule sets the learning rate of every step, so it excludes plateau, "
                "exponential_decay and early_stopping. Set these three to null, or schedule.",
            )

    def phase(self, progress: float) -> Phase:
        """Return how a step is computed after the fraction `progress` of all steps."""
        resizing, sharpness = self.progressive_resizing, self.sharpness
        size = resizing.size if resizing and progress < resizing.share else IMAGE_SIZE
        return Phase(size, sharpness if sharpness and progress >= sharpness.start else None)

    @property
    def phases(self) -> dict[Phase, float]:
        """The phases in their order, each with its share of all steps."""
        starts = {0.0}
        if self.progressive_resizing:
            starts.add(self.progressive_resizing.share)
        if self.sharpness:
            starts.add(self.sharpness.start)
        bounds = [*sorted(starts), 1.0]
        return {self.phase(start): end - start for start, end in itertools.pairwise(bounds)}

    @property
    def precision(self) -> MixedPrecision:
        """When to use 16-bit activations, as `tensorflow_setup.dtype_policy` takes it."""
        return "where faster" if self.mixed_precision else "never"


def check_network_options(
    network: str, options: dict[str, Any], path: str = "network_options"
) -> None:
    """Raise a SettingError if an option's value is one that no network can be built with.

    Building the network shows whether it has the option.
    """
    finite = number(-LARGEST_INTEGER, LARGEST_INTEGER)
    of_network = NETWORK_OPTIONS.get(network, {})
    for key, value in options.items():
        key_path = f"{path}.{key}"
        for part in value if isinstance(value, list | tuple) else [value]:
            if isinstance(part, int | float) and not isinstance(part, bool):
                check_setting(key_path, part, finite)
        if key in of_network:
            check_setting(key_path, value, of_network[key])


def check_renamed_keys(content: Any) -> None:
    """Raise a RenamedKeyError if the JSON of a recipe uses an old key."""
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        if key in RENAMED:
            raise RenamedKeyError(key)
        check_renamed_keys(value)


def check_same_network(kept: Recipe, asked: Recipe, path: Path) -> None:
    """Raise a ChangedNetworkError if an own network has changed since `path` kept it."""
    if kept.network == asked.network and kept.network_source != asked.network_source:
        remedy = "Restore the file, or choose another --name to train the changed network."
        raise ChangedNetworkError(kept.network, path, remedy)
