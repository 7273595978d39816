"""Hyper-parameter search: train changed recipes, each as a run, and keep the best recipe."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_cifar.console import LiveTable, counted, say
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths, lock, read_json, write_json, write_record
from kaggle_cifar.ownership import MARK, read_record, require_own_folder
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.recipes.validation import from_json
from kaggle_cifar.search.cluster import Cluster, require_ray
from kaggle_cifar.search.results import Trials, save_results, setting_text
from kaggle_cifar.search.search_space import GRID_DRAW, Space, draw_from_grid
from kaggle_cifar.search.tasks import run_tasks
from kaggle_cifar.training.find_runs import named_run
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.run_table import progress_table
from kaggle_cifar.training.train import end_early, train

if TYPE_CHECKING:
    from kaggle_cifar.search.ray_tune import SearchConfig

WITHOUT_RAY = (
    "Training the trials one by one. Run `pip install 'kaggle-cifar[search]'` to train them in "
    "parallel on all cores, GPUs and nodes, and to use `--sampler tpe`, which learns from earlier "
    "trials and stops poor ones early."
)


class SearchExistsError(UserError):
    """A search of this name has other options; `path` is the file that holds them."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"The search {path.parent} has other options, see {path}. Use the same options to "
            "resume it, or use another --name."
        )
        self.path = path


class SearchFileError(UserError):
    """The file of a search's options at `path` holds something else."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(
            f"{path} does not hold the options of a search ({str(reason).rstrip('.')}). Restore "
            "the file, or use another --name."
        )
        self.path = path


@dataclass(frozen=True)
class SavedSearch:
    """The options of a search, as its search.json holds them."""

    sampler: str
    trials: int
    space: dict[str, Any]
    recipe: Recipe
    options: RunOptions


def search(
    project: ProjectPaths,
    name: str,
    space: Space,
    sampler: str,
    trials: int,
    options: RunOptions,
    cluster: Cluster,
    time_budget: float | None = None,
) -> Run:
    """Train the trials of a search and return the run with the highest accuracy.

    The trials are the runs `name`-trial1, -trial2, …; `runs/name` gets the table, the figures and
    the best trial's recipe. An interrupted search resumes, and a finished one takes more trials.

    Without Ray, the student project's draw is trained one trial after another.

    Raises
    ------
    ForeignPathError, SearchExistsError
        If `runs/name` holds anything but this search.
    UserError
        As in `training.train` and `Cluster.connected`, or if no trial reached a result.
    """
    folder = named_run(project, name).folder
    with lock(folder, "search"):
        claim_folder(folder, name)
        check_search_options(folder / "search.json", space, sampler, trials, options)
        options = dataclasses.replace(options, search=name)
        if sampler == GRID_DRAW and not cluster.address and not find_spec("ray"):
            found = train_in_turn(project, name, space, trials, options)
        else:
            require_ray()
            from kaggle_cifar.search.ray_tune import SearchConfig

            paths = project.absolute()
            config = SearchConfig(paths, name, space, sampler, trials, options, time_budget)
            found = train_on_ray(config, cluster)
        return save_results(project, name, space, found)


def claim_folder(folder: Path, name: str) -> None:
    """Mark the folder of a search; raise a ForeignPathError if it holds anything else."""
    require_own_folder(folder, "search")
    if not read_record(folder / MARK, "search"):
        write_record(folder / MARK, "search", {"name": name})


def check_search_options(
    file: Path, space: Space, sampler: str, trials: int, options: RunOptions
) -> None:
    """Write search.json; raise a SearchExistsError if it is there with other options.

    A search may be given more trials.
    """
    now = SavedSearch(sampler, trials, dict(space.content), space.recipe, options)
    if file.exists():
        saved = read_saved_search(file)
        if saved.trials > trials or dataclasses.replace(saved, trials=trials) != now:
            raise SearchExistsError(file)
    write_json(file, dataclasses.asdict(now))


def read_saved_search(file: Path) -> SavedSearch:
    """Return the options in a search.json.

    Raises
    ------
    SearchFileError
        If the file holds anything else.
    """
    try:
        saved: SavedSearch = from_json(SavedSearch, read_json(file), "search")
    except (TypeError, UserError) as error:
        raise SearchFileError(file, error) from None
    return saved


def train_in_turn(
    project: ProjectPaths, name: str, grid: Space, trials: int, options: RunOptions
) -> Trials:
    """Train settings of the student project's grid in this process, one after another."""
    say(WITHOUT_RAY)
    found: Trials = {}
    for number, drawn in enumerate(draw_from_grid(trials), start=1):
        setting = grid.from_config(grid.to_config(drawn))
        say(f"Trial {number} of {trials}: {setting_text(setting)}")
        trial = f"{name}-trial{number}"
        train(project, grid.apply(setting, f"{grid.recipe.name}-{trial}"), trial, options)
        found[trial] = setting, None
    return found


def train_on_ray(config: "SearchConfig", cluster: Cluster) -> Trials:
    """Run the trials on a cluster in parallel, then measure those that were stopped early."""
    from kaggle_cifar.search.ray_tune import run_trials

    project, live = config.project, LiveTable()

    def show(names: Sequence[str]) -> None:
        live.show(lambda: progress_table([Run(project.runs / name) for name in names]))

    with cluster.connected(project) as resources:
        found = run_trials(config, resources, show, live.say)
        runs = [Run(project.runs / trial) for trial in found]
        stopped = [run for run in runs if not run.finished and run.read_history()]
        if stopped:
            live.say(f"Measuring {counted(len(stopped), 'trial')} stopped early.")
        tasks = {run.name: (end_early, (project, run)) for run in stopped}
        run_tasks(tasks, resources, lambda: show(list(found)), live.say)
    live.clear()
    return found
