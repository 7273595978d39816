"""Turn off one part of a recipe at a time and print what each part is worth, over several seeds.

    python benchmarks/ablation.py airbench84 --data-dir data --runs-dir runs-ablation

Each variant is an ordinary run, validated on the same tenth of the training images as the whole
recipe. Seeds are compared in pairs. The script resumes if it is interrupted. Parts that turn out to
be worth nothing stay in the table. The recipe is `airbench84`, or `airbench94` with the widths of
`airbench84`, half its batch size and two epochs.
"""

import argparse
import statistics
import sys
from pathlib import Path

from kaggle_cifar import recipes
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.recipes import Recipe, change_recipe
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.train import train

BASES = {
    "airbench84": [],
    "airbench94": [
        "network_options.widths=[32,64,256]",
        "epochs=2",
        "batch_size=512",
        "learning_rate=0.75",
        "whitening_bias_epochs=1",
    ],
}
# What a part becomes when it is turned off; later changes of a key win.
PARTS = {
    "whitening filters": ["network_options.whitening=false"],
    "identity start": ["network_options.dirac_init=false"],
    "64-fold rate of biases": ["sgd.bias_scaler=1"],
    "Nesterov's momentum": ["sgd.momentum=0", "muon.momentum=0"],
    "L2": ["sgd.weight_decay=0"],
    "label smoothing": ["label_smoothing=0"],
    "rise of the rate": ["schedule.peak=0"],
    "Lookahead": ["lookahead=null"],
    "alternating flip (random instead)": ["augmentation.flip=random"],
    "any flip": ["augmentation.flip=none"],
    "shifts": ["augmentation.translate=0"],
    "freezing of the whitening's bias": ["whitening_bias_epochs=null"],
    "Muon (SGD instead)": ["optimizer=sgd", "muon=null"],
    "mixed precision": ["mixed_precision=false"],
}
VALIDATION = "fold1of10"
# Student's distribution: 97.5 % lie below, by degrees of freedom.
QUANTILES = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365}


def main() -> None:
    """Train the missing runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", choices=BASES)
    parser.add_argument("--data-dir", type=Path, default="data")
    parser.add_argument("--runs-dir", type=Path, default="runs-ablation")
    parser.add_argument("--seeds", type=int, choices=range(2, 9), default=3)
    arguments = parser.parse_args()
    project = ProjectPaths(arguments.data_dir, arguments.runs_dir)
    base = recipes.find_recipe(arguments.recipe)
    changes = BASES[arguments.recipe]
    base = change_recipe(base, changes) if changes else base
    whole = [accuracies(project, base, seed) for seed in range(arguments.seeds)]
    print_row("nothing", whole, None)
    for part, changes in PARTS.items():
        if is_part(base, part):
            used = [change for change in changes if base.muon or not change.startswith("muon.")]
            variant = change_recipe(base, used)
            without = [accuracies(project, variant, seed) for seed in range(arguments.seeds)]
            print_row(part, without, whole)


def is_part(recipe: Recipe, part: str) -> bool:
    """Return whether the recipe has a part."""
    if part == "Muon (SGD instead)":
        return recipe.muon is not None
    if part == "Lookahead":
        return recipe.lookahead is not None
    if part == "rise of the rate":
        return recipe.schedule is not None and recipe.schedule.peak > 0
    return part != "freezing of the whitening's bias" or recipe.whitening_bias_epochs is not None


def accuracies(project: ProjectPaths, recipe: Recipe, seed: int) -> tuple[float, float]:
    """Return a run's validation accuracy without and with TTA; train it if it is missing."""
    options = RunOptions(seed=seed, validation=VALIDATION)
    try:
        run = train(project, recipe, f"{recipe.name}-seed{seed}", options)
    except UserError as error:
        if "diverged" in str(error):
            return 0.1, 0.1  # what guessing reaches
        sys.exit(f"This benchmark needs the real training images: {error}")
    metrics = run.read_metrics()
    return metrics["validation_accuracy"], metrics["validation_accuracy_tta"]


def print_row(
    part: str, without: list[tuple[float, float]], whole: list[tuple[float, float]] | None
) -> None:
    """Print the mean accuracies without a part and the paired loss with its 95 % interval."""
    cells = [f"{part:36}"]
    for view in (0, 1):
        values = [run[view] for run in without]
        cells.append(f"{statistics.mean(values):.4f}")
        if whole:
            losses = [run[view] - other[view] for run, other in zip(whole, without, strict=True)]
            cells.append(f"worth {statistics.mean(losses):+.4f} ± {interval(losses):.4f}")
    print("  ".join(cells), flush=True)


def interval(values: list[float]) -> float:
    """Return half the width of the 95 % interval of a mean (Student's t)."""
    error = statistics.stdev(values) / len(values) ** 0.5
    return float(QUANTILES[len(values) - 1] * error)


if __name__ == "__main__":
    main()
