"""Runs trained on Kaggle's GPUs: sent there, followed, checked and put into place here."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from kaggle_cifar.console import say
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths, lock, remove_if_only_lock
from kaggle_cifar.kaggle.client import open_client
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.remote.fetch import check, is_brought, publish
from kaggle_cifar.remote.monitor import Log, follow, look
from kaggle_cifar.remote.push import sent_session
from kaggle_cifar.remote.script import check_accelerator, check_local_files
from kaggle_cifar.remote.sessions import (
    UNDER_WAY,
    Session,
    brought_run,
    forget,
    read_session,
    remote_run,
    remote_runs,
    start_anew,
)
from kaggle_cifar.training.find_runs import named_run
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.run_settings import (
    check_finished,
    check_recipe_options,
    with_fitted_epochs,
)


def train_on_kaggle(
    project: ProjectPaths,
    recipe: Recipe,
    name: str,
    options: RunOptions,
    accelerator: str,
    predict: bool = False,
    detach: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Run:
    """Train `recipe` on Kaggle as the run `name`; called again, follow what is under way.

    With `predict`, the test images are predicted there, too; with `detach`, return once it is
    sent. Where a session's time does not suffice, the next goes on from its checkpoint.

    Raises
    ------
    UserError
        When Kaggle refuses or the training fails there, what comes back is not what was asked
        for, or the run exists here.
    """
    check_recipe_options(recipe, options)
    check_accelerator(accelerator)
    check_local_files(recipe)
    run, remote = named_run(project, name), remote_run(project, name)
    with lock(remote.folder, "training on Kaggle"):
        if is_here(run, recipe, options):
            forget(remote)
            return run
        check_finished(remote, recipe, options)  # refuses other settings
        api = open_client()
        while True:
            session = sent_session(api, remote, recipe, options, accelerator, predict)
            if predict and not session.predict:
                say(f"{name} was sent without --predict: its predictions are to be made here.")
            if detach and session.state in UNDER_WAY:
                say("The same command, without --detach, follows it and brings the run here.")
                return run
            log = Log()
            session, failure = follow(api, remote, session, log, sleep, clock)
            if is_brought(api, remote, session, failure, log):
                try:
                    check(project, brought_run(remote), recipe, options, session.predict)
                except UserError as error:
                    raise UserError(
                        f"What came from Kaggle was not taken: {error} {start_anew(remote)}"
                    ) from error
                publish(remote, session, run)
                return run


def is_here(run: Run, recipe: Recipe, options: RunOptions) -> bool:
    """Tell whether the finished run is here; raise a UserError where another is."""
    if check_finished(run, with_fitted_epochs(run, recipe, options), options):
        say(f"The run {run.name} is finished: {run.folder}. Another --name trains anew.")
        return True
    if run.folder.exists():
        remove_if_only_lock(run.folder)
    if run.folder.exists():
        raise UserError(
            f"{run.folder} was begun on this machine. Go on with it by the same command without "
            "--on kaggle, or choose another --name."
        )
    return False


def check_remote(project: ProjectPaths, name: str) -> None:
    """Raise a UserError when the run `name` is under way on Kaggle."""
    session = read_session(remote_run(project, name))
    if session:
        raise UserError(
            f"The run {name} is trained on Kaggle ({session.state}). Follow it with --on kaggle, "
            f"or choose another --name. {start_anew(remote_run(project, name))}"
        )


def remote_sessions(project: ProjectPaths) -> list[tuple[Run, Session]]:
    """Return the runs under way on Kaggle, each with its session, as far as Kaggle tells now."""
    files = sorted(remote_runs(project).glob("*/session.json"))
    runs = [Run(file.parent) for file in files]
    sessions = [(run, session) for run in runs if (session := read_session(run))]
    if not any(session.state in UNDER_WAY for _, session in sessions):
        return sessions
    try:
        api = open_client()
        return [(run, refreshed(api, session)) for run, session in sessions]
    except UserError:  # what was last known must do
        return sessions


def refreshed(api: Any, session: Session) -> Session:
    """Return a session with the state that Kaggle tells."""
    if session.state not in UNDER_WAY:
        return session
    return dataclasses.replace(session, state=look(api, session.kernel)[0])
