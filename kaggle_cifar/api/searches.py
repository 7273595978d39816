"""Search for good settings of a recipe."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kaggle_cifar.api.arguments import (
    ConflictingArgumentsError,
    RecipeLike,
    check_device,
    require_type,
    to_recipe,
    to_seconds,
    use_device,
)
from kaggle_cifar.api.display import without_traceback
from kaggle_cifar.api.folders import current_project
from kaggle_cifar.api.runs import Run
from kaggle_cifar.api.training import explain_stop
from kaggle_cifar.fields import optional
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.recipes import Recipe, require_one_of, whole_number
from kaggle_cifar.recipes.validation import check_setting
from kaggle_cifar.search.search_space import GRID_DRAW
from kaggle_cifar.training.find_runs import named_run
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run as RunFolder

if TYPE_CHECKING:
    from kaggle_cifar.search.search_space import Space

GRID_DRAW_TRIALS = 5  # as in the student project
TRIALS = 16
SAMPLERS = (GRID_DRAW, "random", "tpe")
RESUMING = {
    "name",
    "trials",
    "time_budget",
    "address",
    "cpus",
    "gpus",
}  # may be given to a resumed search


@dataclass(frozen=True)
class SearchRequest:
    """A request to search, with a field for each parameter of the command `search`."""

    recipe: Recipe
    sampler: str
    trials: int | None
    space: Path | None
    epochs: int | None
    limit: int | None
    seed: int
    time_budget: float | None
    name: str
    address: str | None
    cpus: int | None
    gpus: float | None
    device: str | None

    @property
    def trial_count(self) -> int:
        """The number of trials, or the sampler's default."""
        return self.trials or (GRID_DRAW_TRIALS if self.sampler == GRID_DRAW else TRIALS)

    def search_space(self) -> "Space":
        """Return the search space.

        Raises
        ------
        ConflictingArgumentsError
            If the sampler has no such space.
        """
        check_device(self.device, self.gpus)
        return self._grid_draw() if self.sampler == GRID_DRAW else self._declared_space()

    def _grid_draw(self) -> "Space":
        from kaggle_cifar.search.search_space import GRID_SIZE, student_grid

        if self.recipe.name != "model3" or self.space:
            raise ConflictingArgumentsError(
                f"`--sampler {GRID_DRAW}` draws from the student project's grid for model3. Use "
                "`--sampler random` or `--sampler tpe` for another recipe or space."
            )
        if self.time_budget:
            raise ConflictingArgumentsError(
                "--time-budget requires `--sampler random` or `--sampler tpe`."
            )
        if self.trial_count > GRID_SIZE:
            raise ConflictingArgumentsError(
                f"--trials must be at most {GRID_SIZE}, the size of the student project's grid, "
                f"not {self.trial_count}. Use `--sampler random` or `--sampler tpe` for more."
            )
        return student_grid(self.epochs)

    def _declared_space(self) -> "Space":
        from kaggle_cifar.search.search_space import declared_space

        epochs = self.epochs or self.recipe.epochs
        space = declared_space(dataclasses.replace(self.recipe, epochs=epochs), self.space)
        if self.epochs and "epochs" in space.content:
            raise ConflictingArgumentsError(
                f"--epochs cannot be used with {self.space}: both set epochs."
            )
        return space


@without_traceback
def search(
    recipe: RecipeLike = "model3",
    *,
    sampler: Literal["grid-draw", "random", "tpe"] = "grid-draw",
    trials: int | None = None,
    space: str | os.PathLike[str] | None = None,
    epochs: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    time_budget: str | float | None = None,
    name: str = "search",
    address: str | None = None,
    cpus: int | None = None,
    gpus: float | None = None,
    device: Literal["cpu"] | None = None,
) -> Run | None:
    """Search for good settings of a recipe; return the run with the highest accuracy.

    Each trial is an ordinary run. The folder `runs/<name>` gets the results, the figures and
    `best_recipe.json`, which `train` takes. The same call resumes an interrupted search, and with
    more trials it continues a finished one.

    Parameters
    ----------
    recipe
        A `Recipe`, the name of one, or the path of a JSON file.
    sampler
        "grid-draw" for the student project's draw from its grid for Model 3, "random", or "tpe".
    trials
        Number of trials, by default 5 for "grid-draw" and 16 for the others.
    space
        Path of a JSON file with a search space of your own.
    epochs
        Number of epochs of a trial that runs to its end.
    limit
        Train on a stratified subset of so many images.
    seed
        Random seed of the sampler and the trainings.
    time_budget
        A duration like "2h30m", or seconds, after which the trials stop.
    name
        Name of the search.
    address
        Address of a Ray cluster, such as "10.0.0.1:6379", or "local" for this machine.
    cpus
        Number of CPU cores per training.
    gpus
        Number of GPUs per training, such as 0.5.
    device
        "cpu" to train on the CPU even if there is a GPU. It holds until Python ends.

    Returns
    -------
    Run or None
        The best run; None if Ctrl-C stopped the search.

    Raises
    ------
    UserError
        If a search of that name has other options, or no trial reaches a result.

    Examples
    --------
    >>> import kaggle_cifar as kc
    >>> kc.search("model3", trials=1, epochs=1).name
    'search-trial1'
    """
    from kaggle_cifar.competition import CLASS_NAMES, TRAIN_COUNT
    from kaggle_cifar.training.signals import Interrupted

    require_type("space", space, str | os.PathLike | None, "the path of a JSON file")
    require_type("name", name, str, "the name of a search")
    require_one_of("sampler", sampler, SAMPLERS)
    check_setting("trials", trials, optional(whole_number(1, 1000)))
    check_setting("epochs", epochs, optional(whole_number(1)))
    check_setting("limit", limit, optional(whole_number(len(CLASS_NAMES), TRAIN_COUNT)))
    request = SearchRequest(
        to_recipe(recipe),
        sampler,
        trials,
        None if space is None else Path(space),
        epochs,
        limit,
        seed,
        to_seconds(time_budget),
        name,
        address,
        cpus,
        gpus,
        device,
    )
    project = current_project()
    try:
        return Run(run_search(project, request, request.search_space()), project)
    except Interrupted as stop:
        explain_stop(stop.signal_number)
        return None


def resumed_search(
    project: ProjectPaths, request: SearchRequest
) -> "tuple[SearchRequest, Space] | None":
    """Return the request and the space of the search of that name; None if there is none.

    Only the parameters in RESUMING are taken from `request`. Raises a SearchFileError if the
    search's options are damaged.
    """
    from kaggle_cifar.search.search import read_saved_search
    from kaggle_cifar.search.search_space import Space

    file = named_run(project, request.name).folder / "search.json"
    if not file.exists():
        return None
    saved = read_saved_search(file)
    resumed = dataclasses.replace(
        request,
        recipe=saved.recipe,
        sampler=saved.sampler,
        trials=request.trials or saved.trials,
        limit=saved.options.limit,
        seed=saved.options.seed,
    )
    return resumed, Space(saved.recipe, saved.space, str(file))


def run_search(project: ProjectPaths, request: SearchRequest, space: "Space") -> RunFolder:
    """Search the space of a request; raises as `search.search`."""
    from kaggle_cifar.search.cluster import Cluster
    from kaggle_cifar.search.search import search

    use_device(request.device)
    return search(
        project,
        request.name,
        space,
        request.sampler,
        request.trial_count,
        RunOptions(seed=request.seed, limit=request.limit),
        Cluster(request.address, request.cpus, 0 if request.device else request.gpus),
        request.time_budget,
    )
