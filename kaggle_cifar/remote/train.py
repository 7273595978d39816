"""Train a run on Kaggle's GPUs: push it, follow it, download it, check it."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from kaggle_cifar.console import say
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths, lock, remove_if_only_lock
from kaggle_cifar.kaggle.client import open_client
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.remote.accelerators import check_is_offered, check_runs_tensorflow
from kaggle_cifar.remote.accept import accept_run
from kaggle_cifar.remote.fetch import fetch_output
from kaggle_cifar.remote.monitor import Log, follow, poll
from kaggle_cifar.remote.push import ensure_session
from kaggle_cifar.remote.script import check_local_files
from kaggle_cifar.remote.sessions import (
    UNDER_WAY,
    Session,
    read_session,
    remote_run,
    remote_runs,
    remove_session,
    restart_advice,
)
from kaggle_cifar.training.find_runs import named_run
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.run_settings import (
    check_finished,
    check_recipe_options,
    with_fitted_epochs,
)


class TrainedElsewhereError(UserError):
    """A run's training was started on this machine, but requested on Kaggle, or reversed."""


def train_on_kaggle(
    project: ProjectPaths,
    recipe: Recipe,
    name: str,
    options: RunOptions,
    accelerator: str,
    predict: bool = False,
    tta: bool = False,
    detach: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Run:
    """Train `recipe` on Kaggle as the run `name`, or follow its session there.

    With `predict`, the test images are predicted there, too, and with `tta` a second time with
    test-time augmentation. With `detach`, it returns once the
    session is sent. If a session runs out of time, another resumes from its checkpoint.

    Raises
    ------
    UserError
        If Kaggle refuses the run, the training fails there, or the run exists here.
    """
    check_recipe_options(recipe, options)
    check_runs_tensorflow(accelerator)
    check_local_files(recipe)
    run, remote = named_run(project, name), remote_run(project, name)
    with lock(remote.folder, "training on Kaggle"):
        if is_finished_here(run, recipe, options):
            remove_session(remote)
            return run
        check_finished(remote, recipe, options)  # refuses other settings
        api = open_client()
        check_is_offered(accelerator)
        wanted = Session("", accelerator, predict, tta=predict and tta)
        while True:
            session = ensure_session(api, remote, recipe, options, wanted)
            if missing := set(wanted.views) - set(session.views):
                option = "--predict" if "plain" in missing else "--tta"
                say(f"{name} was sent without {option}. Predict its test images on this machine.")
            if detach and session.state in UNDER_WAY:
                say("Run the same command without --detach to follow and download the run.")
                return run
            if finish_session(api, remote, session, sleep, clock):
                accept_run(project, remote, session, run, recipe, options)
                return run


def finish_session(
    api: Any,
    remote: Run,
    session: Session,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> bool:
    """Follow a session to its end and download its output; return whether the run is finished."""
    log = Log()
    session, failure = follow(api, remote, session, log, sleep, clock)
    return fetch_output(api, remote, session, failure, log)


def is_finished_here(run: Run, recipe: Recipe, options: RunOptions) -> bool:
    """Return whether the run is finished; raise an error if it was started here."""
    if check_finished(run, with_fitted_epochs(run, recipe, options), options):
        say(f"The run {run.name} is finished: {run.folder}. Use another --name to train again.")
        return True
    if run.folder.exists():
        remove_if_only_lock(run.folder)
    if run.folder.exists():
        raise TrainedElsewhereError(
            f"{run.folder} was started on this machine. Run the same command without `--on kaggle` "
            "to resume it, or use another --name."
        )
    return False


def check_remote(project: ProjectPaths, name: str) -> None:
    """Raise a TrainedElsewhereError if the run `name` is being trained on Kaggle."""
    remote = remote_run(project, name)
    if session := read_session(remote):
        raise TrainedElsewhereError(
            f"The run {name} is being trained on Kaggle ({session.state}). Use `--on kaggle` to "
            f"follow it, or use another --name. {restart_advice(remote)}"
        )


def remote_sessions(project: ProjectPaths) -> list[tuple[Run, Session]]:
    """Return the runs on Kaggle with their sessions, in their present state if Kaggle answers."""
    files = sorted(remote_runs(project).glob("*/session.json"))
    runs = [Run(file.parent) for file in files]
    sessions = [(run, session) for run in runs if (session := read_session(run))]
    if not any(session.state in UNDER_WAY for _, session in sessions):
        return sessions
    try:
        api = open_client()
        return [(run, refreshed(api, session)) for run, session in sessions]
    except UserError:
        return sessions


def refreshed(api: Any, session: Session) -> Session:
    """Return a session in its present state."""
    if session.state not in UNDER_WAY:
        return session
    return dataclasses.replace(session, state=poll(api, session.kernel)[0])
