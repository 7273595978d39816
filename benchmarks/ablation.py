"""Turn off one part of a recipe at a time and measure the loss of accuracy.

    python benchmarks/ablation.py airbench84 --data-dir data --runs-dir runs-ablation

Each variant is an ordinary run, and an interrupted benchmark resumes. A variant and the complete
recipe train on the same images with the same seeds. A tenth of the training images validates them.
The base is `airbench84`, or `airbench94` with the widths of `airbench84`, half its batch size and
two epochs, the shortest training that its schedule allows.
"""

import argparse
import statistics
import sys
from pathlib import Path

from kaggle_cifar import recipes
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.recipes import Recipe, TriangularSchedule, change_recipe
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
# The changes that turn each part off.
PARTS = {
    "whitening filters": ["network_options.whitening=false"],
    "Dirac initialization": ["network_options.dirac_init=false"],
    "64-fold learning rate of biases": ["sgd.bias_scaler=1"],
    "Nesterov momentum": ["sgd.momentum=0", "muon.momentum=0"],
    "weight decay": ["sgd.weight_decay=0"],
    "label smoothing": ["label_smoothing=0"],
    "learning rate warm-up": ["schedule.peak=0"],
    "Lookahead": ["lookahead=null"],
    "alternating flip (random instead)": ["augmentation.flip=random"],
    "any flip": ["augmentation.flip=none"],
    "translation": ["augmentation.translate=0"],
    "freezing of the whitening bias": ["whitening_bias_epochs=null"],
    "Muon (SGD instead)": ["optimizer=sgd", "muon=null"],
    "mixed precision": ["mixed_precision=false"],
}
VALIDATION = "fold1of10"
# The 97.5 % quantiles of Student's distribution, by degrees of freedom.
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
    complete = [train_and_measure(project, base, seed) for seed in range(arguments.seeds)]
    print_row("nothing", complete, None)
    for part, changes in PARTS.items():
        if has_part(base, part):
            used = [change for change in changes if base.muon or not change.startswith("muon.")]
            variant = change_recipe(base, used)
            without = [train_and_measure(project, variant, seed) for seed in range(arguments.seeds)]
            print_row(part, without, complete)


def has_part(recipe: Recipe, part: str) -> bool:
    """Return whether the recipe uses a part."""
    if part == "Muon (SGD instead)":
        return recipe.muon is not None
    if part == "Lookahead":
        return recipe.lookahead is not None
    if part == "learning rate warm-up":
        return isinstance(recipe.schedule, TriangularSchedule) and recipe.schedule.peak > 0
    return part != "freezing of the whitening bias" or recipe.whitening_bias_epochs is not None


def train_and_measure(project: ProjectPaths, recipe: Recipe, seed: int) -> tuple[float, float]:
    """Return a run's accuracy without and with TTA; train the run if needed."""
    options = RunOptions(seed=seed, validation=VALIDATION)
    try:
        run = train(project, recipe, f"{recipe.name}-seed{seed}", options)
    except UserError as error:
        if "diverged" in str(error):
            return 0.1, 0.1  # the accuracy of random predictions
        sys.exit(f"This benchmark needs the real training images: {error}")
    metrics = run.read_metrics()
    return metrics["validation_accuracy"], metrics["validation_accuracy_tta"]


def print_row(
    part: str, without: list[tuple[float, float]], complete: list[tuple[float, float]] | None
) -> None:
    """Print the mean accuracies without a part, and the paired loss with its 95 % interval."""
    cells = [f"{part:36}"]
    for tta in (0, 1):
        values = [run[tta] for run in without]
        cells.append(f"{statistics.mean(values):.4f}")
        if complete:
            losses = [run[tta] - other[tta] for run, other in zip(complete, without, strict=True)]
            cells.append(f"worth {statistics.mean(losses):+.4f} ± {half_interval(losses):.4f}")
    print("  ".join(cells), flush=True)


def half_interval(values: list[float]) -> float:
    """Return half the width of the 95 % interval of the mean."""
    error = statistics.stdev(values) / len(values) ** 0.5
    return float(QUANTILES[len(values) - 1] * error)


if __name__ == "__main__":
    main()
