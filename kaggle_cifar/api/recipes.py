"""The table of recipes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def list_recipes() -> "pd.DataFrame":
    """Return the table of the recipes that `train` knows by name.

    Examples
    --------
    >>> import kaggle_cifar as kc
    >>> str(kc.list_recipes().loc["airbench94", "network"])
    'airbench'
    """
    import pandas as pd

    from kaggle_cifar.recipes import RECIPES

    rows = []
    for name, build in RECIPES.items():
        recipe = build()
        rows.append(
            {
                "recipe": name,
                "network": recipe.network,
                "optimizer": recipe.optimizer,
                "learning_rate": recipe.learning_rate,
                "batch_size": recipe.batch_size,
                "epochs": recipe.epochs,
                "description": (build.__doc__ or "").strip().partition("\n")[0],
            }
        )
    return pd.DataFrame(rows).set_index("recipe")
