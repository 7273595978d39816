"""Push a run to Kaggle as a private kernel, once for each session."""

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
from kaggle_cifar.remote.monitor import kernel_exists
from kaggle_cifar.remote.script import write_kernel
from kaggle_cifar.remote.sessions import (
    UNDER_WAY,
    Session,
    kernel_folder,
    read_session,
    remove_session,
    save_session,
)
from kaggle_cifar.remote.worker import Job
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run

# Kaggle names 9 and 12 hours as its limit.
SESSION_SECONDS = 9 * 3600.0
STOP_EARLY = 900.0  # seconds: to save the state, and for what Kaggle does before and after
LEAST_SESSION = 1800.0  # seconds of GPU quota
LONGEST_SLUG = 50  # characters, as of titles


class PushRefusedError(UserError):
    """Kaggle certainly did not start a session."""


class QuotaError(UserError):
    """The GPU quota does not suffice for a session; `left` is in seconds."""

    def __init__(self, quota: "GpuQuota") -> None:
        reset = f" It resets on {quota.refresh:%Y-%m-%d %H:%M} UTC." if quota.refresh else ""
        super().__init__(
            f"Only {duration(quota.left)} of this week's {duration(quota.total)} of GPU time are "
            f"left, and a session needs {duration(LEAST_SESSION)}.{reset} Nothing was sent."
        )
        self.left = quota.left


@dataclass(frozen=True)
class GpuQuota:
    """The GPU time of an account in this week."""

    left: float  # seconds
    total: float  # seconds
    refresh: datetime | None
    has_ever_run: bool


def ensure_session(
    api: Any, remote: Run, recipe: Recipe, options: RunOptions, wanted: Session
) -> Session:
    """Return the session of a run, after pushing one like `wanted` if Kaggle has none."""
    session = read_session(remote)
    if session and session.state in (*UNDER_WAY, "complete"):
        return session
    if session and session.state == "sending" and kernel_exists(api, session.kernel):
        return save_session(remote, dataclasses.replace(session, state="queued"))
    seconds = session_seconds(api)
    session = next_session(api, remote, session, wanted)
    settings = {"recipe": dataclasses.asdict(recipe), "options": dataclasses.asdict(options)}
    resume = session.source is not None
    job = Job(remote.name, **settings, views=session.views, resume=resume, seconds=seconds)
    write_kernel(kernel_folder(remote), session.kernel, job, session.accelerator, session.source)
    write_json(remote.description_file, settings)
    return push_session(api, remote, session)


def next_session(api: Any, remote: Run, before: Session | None, wanted: Session) -> Session:
    """Return `wanted` with a new kernel, as the session that follows another if there was one."""
    session = dataclasses.replace(wanted, kernel=new_kernel(api, remote.name))
    if before is None:
        return session
    return dataclasses.replace(
        session,
        number=before.number + (before.state not in ("sending", "refused")),
        source=before.source,
        progress=before.progress,
    )


def new_kernel(api: Any, name: str) -> str:
    """Return "user/slug" of a new kernel; its random part identifies the session later."""
    user = api.get_config_value(api.CONFIG_NAME_USER)
    if not user:
        raise UserError(
            f"The Kaggle credentials hold no user name. Create a new token at {SETTINGS_PAGE}."
        )
    token = secrets.token_hex(4)
    words = re.sub(r"[^a-z0-9]+", "-", f"kaggle-cifar-{name}".lower())
    return f"{user}/{words[: LONGEST_SLUG - len(token) - 1].strip('-')}-{token}"


def push_session(api: Any, remote: Run, session: Session) -> Session:
    """Push a session, recorded before so that it is found if Kaggle's answer is lost."""
    save_session(remote, session)
    try:
        kernel = push(api, remote)
    except PushRefusedError:
        if session.source:
            save_session(remote, dataclasses.replace(session, state="refused"))
        else:
            remove_session(remote)
        raise
    session = save_session(remote, dataclasses.replace(session, kernel=kernel, state="queued"))
    say(f"Sent session {session.number} of {remote.name}: {session.url}")
    return session


def push(api: Any, remote: Run) -> str:
    """Send the run's kernel folder, once; return "user/slug" as Kaggle has it.

    Raises
    ------
    PushRefusedError
        If Kaggle certainly did not accept it.
    UserError
        If that is unknown.
    """
    doing = f"Sending {remote.name} to Kaggle"
    try:
        answer = call(api.kernels_push, str(kernel_folder(remote)), doing=doing, attempts=1)
    except UserError as error:
        cause = error.__cause__ or error
        status = status_of(cause)
        if status == 401 or never_reached(cause):
            raise PushRefusedError(str(error)) from error
        if status is not None and status < 500:
            raise push_refused(quoted_message(cause) or f"HTTP {status}") from error
        raise UserError(
            f"{error} The kernel may have arrived. Run this again: it looks for the "
            "kernel before it sends one."
        ) from error
    return accepted_kernel(answer)


def accepted_kernel(answer: Any) -> str:
    """Return "user/slug" in the answer to a push; raise a PushRefusedError without one."""
    if answer.invalid_competition_sources:
        raise push_refused(
            f"the competition {competition.SLUG} cannot be used",
            f"Accept the rules at {competition.RULES_PAGE}",
        )
    if answer.invalid_kernel_sources:
        raise push_refused(f"the kernel {answer.invalid_kernel_sources[0]} cannot be used")
    if answer.error or not answer.ref:
        raise push_refused(redact(answer.error) or "it gave no reason")
    return "/".join(answer.ref.split("/")[-2:])


def push_refused(
    reason: str, advice: str = "Run `kaggle-cifar doctor` to check your account"
) -> PushRefusedError:
    """Return the error for a session that Kaggle refused, with advice."""
    reason = reason.strip(' ()"').rstrip(".")
    return PushRefusedError(f"Kaggle refused the training: {reason}. {advice}.")


def gpu_quota(api: Any) -> GpuQuota | None:
    """Return the account's GPU quota, or None if it has none.

    Raises
    ------
    UserError
        If Kaggle cannot be reached.
    """
    answer = call(api.quota_view, doing="Asking for the GPU quota", attempts=2)
    quota = answer.gpu_quota
    if quota is None or quota.total_time_allowed is None:
        return None
    total = quota.total_time_allowed.total_seconds()
    used = [time.total_seconds() for time in (quota.time_used, quota.time_reserved) if time]
    left = max(0.0, total - sum(used))
    return GpuQuota(left, total, answer.quota_refresh_time, quota.has_ever_run)


def session_seconds(api: Any) -> float:
    """Return the seconds after which a session that starts now must stop.

    Raises
    ------
    QuotaError
        If the GPU quota does not suffice for a session.
    """
    try:
        quota = gpu_quota(api)
    except UserError as error:
        say(f"{error} Continuing without it.")
        quota = None
    if quota is None:
        return SESSION_SECONDS - STOP_EARLY
    if quota.left < LEAST_SESSION:
        raise QuotaError(quota)
    return min(SESSION_SECONDS, quota.left) - STOP_EARLY
