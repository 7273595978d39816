"""A run to a session on Kaggle: its script and metadata, pushed once."""

import dataclasses
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kaggle_cifar import competition
from kaggle_cifar.console import duration, say
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import write_json
from kaggle_cifar.kaggle.client import call
from kaggle_cifar.kaggle.credentials import SETTINGS_PAGE
from kaggle_cifar.kaggle.explanations import quoted_message, redact
from kaggle_cifar.kaggle.failures import never_reached, status_of
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.remote.monitor import is_known
from kaggle_cifar.remote.script import write_kernel
from kaggle_cifar.remote.sessions import (
    UNDER_WAY,
    Session,
    forget,
    kernel_folder,
    read_session,
    record,
)
from kaggle_cifar.remote.worker import Job
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run

# Kaggle's limit by the shortest that it names; its documentation has 12 hours.
SESSION_SECONDS = 9 * 3600.0
STOP_EARLY = 900.0  # seconds: to save the state, and for what Kaggle does before and after
LEAST_SESSION = 1800.0  # seconds of GPU quota; with less, none is begun
LONGEST_SLUG = 50  # characters, as of titles

ADVICE = {
    r"phone|verif": f"Kaggle gives GPUs to verified accounts: verify your phone at {SETTINGS_PAGE}",
    r"rule|accept|competition": f"Accept the rules at {competition.RULES_PAGE}",
    r"quota|hours": "Kaggle gives GPU hours anew every week: `kaggle-cifar doctor` tells when",
    r"session|maximum": "Wait for another session of yours to end, or end one on the website",
    r"title|slug|taken|in use|exists": "Run the same command again, which draws another name",
    r"source": "The kernel it goes on from may have been deleted on the website",
}


class RefusedError(UserError):
    """Kaggle certainly has not begun a session."""


def sent_session(
    api: Any, remote: Run, recipe: Recipe, options: RunOptions, accelerator: str, predict: bool
) -> Session:
    """Return the session that Kaggle has of a run, sending one where it has none."""
    session = read_session(remote)
    if session and session.state in (*UNDER_WAY, "complete"):
        return session
    if session and session.state == "sending" and is_known(api, session.kernel):
        return record(remote, dataclasses.replace(session, state="queued"))
    seconds = session_seconds(api)
    session = next_session(api, remote, session, accelerator, predict)
    settings = {"recipe": dataclasses.asdict(recipe), "options": dataclasses.asdict(options)}
    resume = session.source is not None
    job = Job(remote.name, **settings, predict=predict, resume=resume, seconds=seconds)
    write_kernel(kernel_folder(remote), session.kernel, job, accelerator, session.source)
    write_json(remote.description_file, settings)
    record(remote, session)  # by it, a session whose answer is lost is found again
    try:
        kernel = push(api, remote)
    except RefusedError:
        if session.source:
            record(remote, dataclasses.replace(session, state="refused"))
        else:
            forget(remote)
        raise
    session = record(remote, dataclasses.replace(session, kernel=kernel, state="queued"))
    say(f"Session {session.number} of {remote.name} is sent: {session.url}")
    return session


def next_session(
    api: Any, remote: Run, before: Session | None, accelerator: str, predict: bool
) -> Session:
    """Return the session that comes after another, if there was one, under a name of its own."""
    kernel = new_kernel(api, remote.name)
    if before is None:
        return Session(kernel, accelerator, predict)
    number = before.number + (before.state not in ("sending", "refused"))
    return Session(kernel, accelerator, predict, number, before.source, before.progress)


def new_kernel(api: Any, name: str) -> str:
    """Return "user/slug" of a kernel that is nobody's: by it, a session is found again for sure."""
    user = api.get_config_value(api.CONFIG_NAME_USER)
    if not user:
        raise UserError(
            "The Kaggle credentials do not tell the user's name, under which the training would "
            f"run. Make a new token at {SETTINGS_PAGE}."
        )
    token = secrets.token_hex(4)
    words = re.sub(r"[^a-z0-9]+", "-", f"kaggle-cifar-{name}".lower())
    return f"{user}/{words[: LONGEST_SLUG - len(token) - 1].strip('-')}-{token}"


def push(api: Any, remote: Run) -> str:
    """Send what is in the run's kernel folder, once; return "user/slug" as Kaggle has it.

    Raises
    ------
    RefusedError
        When it was certainly not taken.
    UserError
        When that is not known.
    """
    doing = f"Sending {remote.name} to Kaggle"
    try:
        answer = call(api.kernels_push, str(kernel_folder(remote)), doing=doing, attempts=1)
    except UserError as error:
        cause = error.__cause__ or error
        status = status_of(cause)
        if status == 401 or never_reached(cause):
            raise RefusedError(str(error)) from error
        if status is not None and status < 500:
            raise refused(quoted_message(cause) or f"HTTP {status}") from error
        raise UserError(
            f"{error} Whether it has arrived, the same command finds out before it sends again."
        ) from error
    invalid = {
        "competition": answer.invalid_competition_sources,
        "source": answer.invalid_kernel_sources,
    }
    for kind, sources in invalid.items():
        if sources:
            raise refused(f"the {kind} {', '.join(sources)} cannot be used")
    if answer.error or not answer.ref:
        raise refused(redact(answer.error) or "it gave no reason")
    return "/".join(answer.ref.split("/")[-2:])


def refused(said: str) -> RefusedError:
    """Return the error for a session that Kaggle did not take, with what to do."""
    said = said.strip(' ()"')
    advice = next((text for words, text in ADVICE.items() if re.search(words, said.lower())), "")
    advice = advice or "`kaggle-cifar doctor` tells what the account may do"
    return RefusedError(f"Kaggle did not take the training: {said.rstrip('.')}. {advice}.")


@dataclass(frozen=True)
class GpuQuota:
    """The GPU time of an account in this week."""

    left: float  # seconds
    total: float  # seconds
    refresh: datetime | None
    has_ever_run: bool


def gpu_quota(api: Any) -> GpuQuota | None:
    """Return the account's GPU quota; None where Kaggle does not tell.

    Raises
    ------
    UserError
        When Kaggle cannot be asked.
    """
    answer = call(api.quota_view, doing="Asking for the GPU quota", attempts=2)
    quota = answer.gpu_quota
    if quota is None or quota.total_time_allowed is None:
        return None
    total = quota.total_time_allowed.total_seconds()
    gone = [time.total_seconds() for time in (quota.time_used, quota.time_reserved) if time]
    left = max(0.0, total - sum(gone))
    return GpuQuota(left, total, answer.quota_refresh_time, quota.has_ever_run)


def session_seconds(api: Any) -> float:
    """Return after how many seconds a session that begins now must stop by itself.

    Raises
    ------
    UserError
        When the quota does not suffice for one.
    """
    try:
        quota = gpu_quota(api)
    except UserError as error:
        say(f"{error} Going on without it.")
        quota = None
    if quota is None:
        return SESSION_SECONDS - STOP_EARLY
    if quota.left < LEAST_SESSION:
        when = (
            f" Kaggle gives new hours on {quota.refresh:%Y-%m-%d %H:%M} UTC."
            if quota.refresh
            else ""
        )
        raise UserError(
            f"{duration(quota.left)} of GPU time are left of this week's "
            f"{duration(quota.total)}: too little for a session.{when} Nothing was sent."
        )
    return min(SESSION_SECONDS, quota.left) - STOP_EARLY
