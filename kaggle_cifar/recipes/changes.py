"""Change single settings of a recipe, as `--set` does."""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kaggle_cifar.errors import UserError
from kaggle_cifar.models.own_network import with_own_network
from kaggle_cifar.recipes.schema import Recipe, check_renamed_keys
from kaggle_cifar.recipes.validation import from_json, require_one_of

FIXED = {  # keys that follow from the others, and what to use instead
    "name": "The changes make the name of the recipe. Use --name to name the run.",
    "network_source": "The code comes from the network's file. Use network=my_net.py.",
}


class ChangeError(UserError):
    """A change cannot be made to a recipe; `change` is its text."""

    def __init__(self, change: str, message: str) -> None:
        super().__init__(message)
        self.change = change


def change_recipe(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """Return the recipe with changes like `learning_rate=0.003` or `plateau.factor=0.1`.

    Values are JSON; anything else is text. The changes become part of the recipe's name, without
    the characters that a folder's name must not have.

    Raises
    ------
    ChangeError
        When a change has no "=", or its key cannot be changed.
    UnknownNameError
        When a key is unknown.
    UserError
        When the changed recipe is impossible.
    """
    content = dataclasses.asdict(recipe)
    for change in changes:
        apply_change(content, change)
    content["name"] = ",".join([recipe.name, *map(name_part, changes)])
    changed: Recipe = from_json(Recipe, with_own_network(content, [Path()]))
    return changed


def apply_change(content: dict[str, Any], change: str) -> None:
    """Set one key in the content of a recipe."""
    key, equals, text = change.partition("=")
    if not equals:
        raise ChangeError(
            change,
            f"Invalid change {change!r}: it has no =. Use KEY=VALUE, such as learning_rate=0.003.",
        )
    if key in FIXED:
        raise ChangeError(change, f"{key} cannot be changed. {FIXED[key]}")
    *parents, last = key.split(".")
    check_renamed_keys({last: None})
    part = content
    name = "recipe"
    for parent in parents:
        require_one_of(f"{name} key", parent, part)
        name, part = parent, part[parent]
        if not isinstance(part, dict):
            raise ChangeError(
                change,
                f"{key} cannot be changed: {name} is {json.dumps(part)}, which has no keys. Use "
                f"{name}=VALUE to set it as a whole.",
            )
    if parents[-1:] != ["network_options"]:  # the network knows its own
        require_one_of(f"{name} key", last, part)
    part[last] = parse_value(text)
    if key == "network":
        content["network_source"] = None


def name_part(change: str) -> str:
    """Return a change as it may stand in a name: `muon={"momentum":0.6}` as `muon=momentum=0.6`."""
    return re.sub(r"[^\w.,=+-]", "", change.replace(":", "="))


def parse_value(text: str) -> Any:
    """Return the JSON value in `text`, or `text` itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
