"""How the training images are changed at random, as frozen dataclasses."""

from dataclasses import dataclass

from kaggle_cifar.competition import IMAGE_SIZE
from kaggle_cifar.recipes.validation import (
    ConflictingSettingsError,
    number,
    positive,
    require_one_of,
    validate,
    whole_number,
)

FLIPS = ("none", "random", "alternating")
EDGES = ("reflect", "mean")
POLICIES = ("auto", "rand", "trivial")
MIXES = ("mixup", "cutmix")


@dataclass(frozen=True)
class Mix:
    """Combine pairs of images and their labels, in shares drawn from Beta(`alpha`, `alpha`).

    "mixup" adds the pixels: Zhang et al., arXiv 1710.09412. "cutmix" pastes a rectangle: Yun et
    al., arXiv 1905.04899.
    """

    method: str
    alpha: float = 1.0

    def __post_init__(self) -> None:
        require_one_of("mix", self.method, MIXES)
        validate(self, "augmentation.mix.", alpha=positive())


@dataclass(frozen=True)
class Augmentation:
    """Random changes of the training images: flips, translations and cutout, in pixels.

    An "alternating" flip mirrors a random half of the images in the first epoch and the other
    half in the next, in turn. Two epochs show each image both ways.

    Beyond its `edges`, a translated image shows its reflection or the mean color. The latter is
    the usual zero padding after normalization. The square of `cutout` is whole, or may
    overhang: then its center is anywhere in the image, as in arXiv 1708.04552.

    The `policy` is AutoAugment, RandAugment of a `policy_strength` from 0 to 1, or TrivialAugment.
    It comes first, `mix` last.
    """

    flip: str = "none"
    translate: int = 0
    cutout: int = 0
    edges: str = "reflect"
    cutout_overhang: bool = False
    policy: str | None = None
    policy_strength: float | None = None
    mix: Mix | None = None

    def __post_init__(self) -> None:
        require_one_of("flip", self.flip, FLIPS)
        require_one_of("kind of edges", self.edges, EDGES)
        pixels = whole_number(0, IMAGE_SIZE - 1)
        validate(self, "augmentation.", translate=pixels, cutout=pixels)
        if self.policy is not None:
            require_one_of("policy", self.policy, POLICIES)
        if (self.policy == "rand") != (self.policy_strength is not None):
            raise ConflictingSettingsError(
                "augmentation.policy_strength",
                "augmentation.policy_strength is for the policy 'rand', which needs it. The "
                f"policy is {self.policy!r}.",
            )
        if self.policy_strength is not None:
            validate(self, "augmentation.", policy_strength=number(0, 1))
