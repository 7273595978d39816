"""Find a recipe by its name or in a JSON file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kaggle_cifar.errors import UserError
from kaggle_cifar.files import read_json
from kaggle_cifar.models.own_network import check_unchanged, require_allowed, with_own_network
from kaggle_cifar.recipes import airbench, student, wide_resnet
from kaggle_cifar.recipes.schema import Recipe, check_renamed_keys
from kaggle_cifar.recipes.validation import SettingError, from_json, require_one_of

RECIPES: dict[str, Callable[[], Recipe]] = {
    "model1": student.model1,
    "model2": student.model2,
    "model3": student.model3,
    "model3-tuned-plateau": student.model3_tuned_plateau,
    "model3-tuned": student.model3_tuned,
    "airbench84": airbench.airbench84,
    "airbench94": airbench.airbench94,
    "airbench95": airbench.airbench95,
    "airbench96": airbench.airbench96,
    "airbench97": airbench.airbench97,
    "leaderboard": wide_resnet.leaderboard,
}
DEFAULT = "model3-tuned"
BETTER_THAN_DEFAULT = (
    "model3-tuned is the student project's recipe. The recipe airbench84 does better in a fortieth "
    "of the time, and airbench94 reaches 93 % in a third."
)


class RecipeFileError(UserError):
    """A JSON file is not a recipe; `path` is the file, `__cause__` the reason."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"{path} is not a recipe: {reason}")
        self.path = path


def find_recipe(name_or_file: str) -> Recipe:
    """Return the recipe of that name, or the one in a JSON file.

    The file is a copy of a run's run.json, or only its part under "recipe".

    Raises
    ------
    UnknownNameError
        When there is no recipe of that name.
    RecipeFileError
        When the file has unknown keys or impossible values, or changes a recipe of this program
        without giving it another name.
    UserError
        When the file cannot be read.
    """
    if name_or_file.endswith(".json"):
        return read_recipe_file(Path(name_or_file))
    require_one_of("recipe", name_or_file, RECIPES)
    return RECIPES[name_or_file]()


def read_recipe_file(file: Path) -> Recipe:
    """Return the recipe in a JSON file; raises as `find_recipe`."""
    content = read_json(file, "Correct it.")
    try:
        values = recipe_values(content)
        recipe: Recipe = from_json(Recipe, with_own_network(values, [file.parent, Path()]))
    except UserError as error:
        raise RecipeFileError(file, error) from error
    if recipe.name in RECIPES and recipe != RECIPES[recipe.name]():
        reason = f'it changes the recipe {recipe.name}. Choose another "name" for it.'
        raise RecipeFileError(file, reason)
    if values.get("network_source"):
        require_allowed(recipe.network, recipe.network_source or [], file)
        check_unchanged(recipe.network, recipe.network_source or [], file)
    return recipe


def recipe_values(content: Any) -> dict[str, Any]:
    """Return the part of a JSON file that is a recipe."""
    check_renamed_keys(content)
    values = content.get("recipe", content) if isinstance(content, dict) else None
    if not isinstance(values, dict):
        raise SettingError("recipe", "an object", values or content)
    return values
