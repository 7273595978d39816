"""A run trained on Kaggle's GPUs: sent there, followed, checked and put into place here.

What is under way lies in `runs/.remote/<name>`: recipe.json (what was asked for), session.json
(which kernel, how far) and what is being downloaded. The run's own folder appears only whole.
"""

import contextlib
import dataclasses
import itertools
import json
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np

from kaggle_cifar import competition
from kaggle_cifar.checkpoint import load_checkpoint
from kaggle_cifar.errors import UserError
from kaggle_cifar.inference import read_probabilities
from kaggle_cifar.kaggle_client import (
    SETTINGS_PAGE,
    call,
    guard,
    never_reached,
    open_client,
    redact,
    retry_delay,
    said_by_kaggle,
    status_of,
)
from kaggle_cifar.kernel import LISTING, Job, digest
from kaggle_cifar.kernel_script import refuse_accelerator, refuse_local_files, write_kernel
from kaggle_cifar.progress import duration, say
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.runs import Run, RunOptions, named_run
from kaggle_cifar.runtime import start_tensorflow
from kaggle_cifar.storage import (
    LOCK_NAME,
    Layout,
    explain_os_error,
    from_json,
    lock,
    read_json,
    remove_folder,
    remove_if_only_lock,
    sync,
    write_json,
)
from kaggle_cifar.tables import submission_ids
from kaggle_cifar.training import fitted_before, is_finished, refuse_contradictions

T = TypeVar("T")

SESSION_SECONDS = 12 * 3600.0  # Kaggle's limit
STOP_EARLY = 900.0  # seconds: to save the state, and for what Kaggle does before and after
LEAST_SESSION = 1800.0  # seconds of GPU quota; with less, none is begun
FIRST_POLL, LONGEST_POLL = 1.0, 15.0  # seconds between two looks at a kernel
PATIENCE = 900.0  # seconds without a connection
LOG_TAIL = 25  # lines
LONGEST_SLUG = 50  # characters, as of titles

# What the client calls the states of a session.
STATES = {
    "NEW_SCRIPT": "queued",
    "QUEUED": "queued",
    "RUNNING": "running",
    "CANCEL_REQUESTED": "running",
    "COMPLETE": "complete",
    "ERROR": "failed",
    "CANCEL_ACKNOWLEDGED": "cancelled",
}
TIMED_OUT = r"time ?out|timed out|time limit|exceed"  # in Kaggle's reasons
UNDER_WAY = ("queued", "running")
SENT = (*UNDER_WAY, "complete")

ADVICE = {
    r"phone|verif": f"Kaggle gives GPUs to verified accounts: verify your phone at {SETTINGS_PAGE}",
    r"rule|accept|competition": f"Accept the rules at {competition.RULES_PAGE}",
    r"quota|hours": "Kaggle gives GPU hours anew every week: `kaggle-cifar doctor` tells when",
    r"session|maximum": "Wait for another session of yours to end, or end one on the website",
    r"title|slug|taken|in use|exists": "Run the same command again, which draws another name",
    r"source": "The kernel it goes on from may have been deleted on the website",
}


@dataclass(frozen=True)
class Session:
    """A kernel on Kaggle that trains a run, and what it, or the next one, goes on from."""

    kernel: str  # "user/slug"
    accelerator: str
    predict: bool
    number: int = 1
    source: str | None = None  # a kernel whose output holds the run's checkpoint
    progress: list[int] = field(default_factory=lambda: [0, 0, 0, 0])  # of the source's output
    state: str = "sending"

    @property
    def url(self) -> str:
        """The kernel's page."""
        return f"https://www.kaggle.com/code/{self.kernel}"


def train_on_kaggle(
    layout: Layout,
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
    refuse_contradictions(recipe, options)
    refuse_accelerator(accelerator)
    refuse_local_files(recipe)
    run, remote = named_run(layout, name), remote_run(layout, name)
    with lock(remote.folder, "training on Kaggle"):
        if is_here(run, recipe, options):
            forget(remote)
            return run
        is_finished(remote, recipe, options)  # refuses other settings
        api = open_client()
        while True:
            session = sent_session(api, remote, recipe, options, accelerator, predict)
            if detach and session.state in UNDER_WAY:
                say("The same command, without --detach, follows it and brings the run here.")
                return run
            log = Log()
            session, failure = follow(api, remote, session, log, sleep, clock)
            if is_brought(api, remote, session, failure, log):
                check(layout, brought_run(remote), recipe, options, session.predict)
                publish(remote, session, run)
                return run


# What is under way


def remote_run(layout: Layout, name: str) -> Run:
    """Return the folder of a run that is trained on Kaggle; it need not be there."""
    return named_run(Layout(runs=layout.runs / ".remote"), name)


def brought_run(remote: Run) -> Run:
    """Return the run as it was downloaded."""
    return Run(remote.folder / "output" / remote.name)


def session_file(remote: Run) -> Path:
    """Return the JSON of a run's session."""
    return remote.folder / "session.json"


def read_session(remote: Run) -> Session | None:
    """Return a run's latest session, or None where there is none."""
    file = session_file(remote)
    if not file.exists():
        return None
    try:
        session: Session = from_json(Session, read_json(file))
    except TypeError as error:
        raise UserError(f"{file} does not hold a session ({error}). {start_anew(remote)}") from None
    return session


def record(remote: Run, session: Session) -> Session:
    """Write a session down and return it."""
    write_json(session_file(remote), dataclasses.asdict(session))
    return session


def forget(remote: Run) -> None:
    """Remove all of a remote run but its lock, which is held."""
    for path in remote.folder.iterdir():
        if path.is_dir():
            remove_folder(path)
        elif path.name != LOCK_NAME:
            path.unlink()


def start_anew(remote: Run) -> str:
    """Return how to begin again."""
    return f"Delete the folder {remote.folder} to start this run anew."


def is_here(run: Run, recipe: Recipe, options: RunOptions) -> bool:
    """Tell whether the finished run is here; raise a UserError where another is."""
    if is_finished(run, fitted_before(run, recipe, options), options):
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


def refuse_remote(layout: Layout, name: str) -> None:
    """Raise a UserError when the run `name` is under way on Kaggle."""
    session = read_session(remote_run(layout, name))
    if session:
        raise UserError(
            f"The run {name} is trained on Kaggle ({session.state}). Follow it with --on kaggle, "
            f"or choose another --name. {start_anew(remote_run(layout, name))}"
        )


def remote_sessions(layout: Layout) -> list[tuple[Run, Session]]:
    """Return the runs under way on Kaggle, each with its session, as far as Kaggle tells now."""
    files = sorted((layout.runs / ".remote").glob("*/session.json"))
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


# Sending


def sent_session(
    api: Any, remote: Run, recipe: Recipe, options: RunOptions, accelerator: str, predict: bool
) -> Session:
    """Return the session that Kaggle has of a run, sending one where it has none."""
    session = read_session(remote)
    if session and session.state in SENT:
        return session
    if session and session.state == "sending" and is_known(api, session.kernel):
        return record(remote, dataclasses.replace(session, state="queued"))
    seconds = session_seconds(api)
    asked = {"recipe": dataclasses.asdict(recipe), "options": dataclasses.asdict(options)}
    if session is None:
        session = Session(new_kernel(api, remote.name), accelerator, predict, number=0)
    following = dataclasses.replace(
        session,
        kernel=new_kernel(api, remote.name),
        accelerator=accelerator,
        predict=predict,
        number=session.number + 1,
        state="sending",
    )
    resume = following.source is not None
    job = Job(remote.name, **asked, predict=predict, resume=resume, seconds=seconds)
    write_kernel(
        remote.folder / "kernel", following.kernel, job, accelerator, source=following.source
    )
    write_json(remote.recipe_file, asked)
    record(remote, following)
    try:
        push(api, remote, following)
    except RefusedError:
        record(remote, session) if session.number else forget(remote)
        raise
    say(f"Session {following.number} of {remote.name} is sent: {following.url}")
    return record(remote, dataclasses.replace(following, state="queued"))


class RefusedError(UserError):
    """Kaggle certainly has not begun a session."""


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


def push(api: Any, remote: Run, session: Session) -> None:
    """Send what lies in the run's folder `kernel`, once.

    Raises
    ------
    RefusedError
        When it was certainly not taken.
    UserError
        When that is not known.
    """
    doing = f"Sending {remote.name} to Kaggle"
    try:
        answer = call(api.kernels_push, str(remote.folder / "kernel"), doing=doing, attempts=1)
    except UserError as error:
        cause = error.__cause__ or error
        status = status_of(cause)
        if status == 401 or never_reached(cause):
            raise RefusedError(str(error)) from error
        if status is not None and status < 500:
            raise refused(said_by_kaggle(cause) or f"HTTP {status}") from error
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
        when = f" Kaggle gives new hours on {quota.refresh:%Y-%m-%d %H:%M} UTC." * bool(
            quota.refresh
        )
        raise UserError(
            f"{duration(quota.left)} of GPU time are left of this week's "
            f"{duration(quota.total)}: too little for a session.{when} Nothing was sent."
        )
    return min(SESSION_SECONDS, quota.left) - STOP_EARLY


# Following


class Log:
    """What a session has printed: each line is shown once, the last ones are kept."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=LOG_TAIL)
        self.events = 0

    def show(self, events: Iterable[dict[str, Any]]) -> None:
        """Print what is new in a log, which is told from its beginning."""
        for number, event in enumerate(events, 1):
            if number <= self.events:
                continue
            self.events = number
            for line in str(event.get("data") or "").splitlines():
                self.lines.append(line)
                say(line)


def follow(
    api: Any,
    remote: Run,
    session: Session,
    log: Log,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> tuple[Session, str]:
    """Show a session until it has ended; return it, and why it failed if it did.

    A connection that breaks off is made again for some time.

    Raises
    ------
    UserError
        When there is no connection any more, or Kaggle does not know the session.
    """
    pause, told = FIRST_POLL, ""
    while True:
        state, failure = patient_look(api, session.kernel, sleep, clock)
        session = record(remote, dataclasses.replace(session, state=state))
        if state != told:
            say(f"{remote.name} on Kaggle: {state}.")
            pause, told = FIRST_POLL, state
        if state == "running" and show_live_log(api, session.kernel, log):
            pause = FIRST_POLL
        if state not in UNDER_WAY:
            show_kept_log(api, session.kernel, log)
            return session, failure
        sleep(pause)
        pause = min(pause * 1.5, LONGEST_POLL)


def patient_look(
    api: Any, kernel: str, sleep: Callable[[float], None], clock: Callable[[], float]
) -> tuple[str, str]:
    """Return what `look` does, also where the connection is away for a while."""
    started, told = clock(), False
    while True:
        try:
            return look(api, kernel)
        except UserError as error:
            if not is_passing(error.__cause__) or clock() - started > PATIENCE:
                raise UserError(
                    f"{error} What is under way there goes on: the same command follows it again."
                ) from error
            if not told:
                say(f"{error} Trying again for {duration(PATIENCE)}.")
            told = True
        sleep(LONGEST_POLL)


def look(api: Any, kernel: str) -> tuple[str, str]:
    """Return the state of a kernel's session, and Kaggle's reason where it failed."""
    try:
        status = call(
            unhidden, api.kernels_status, kernel, doing=f"Looking at {kernel}", attempts=1
        )
    except UserError as error:
        if status_of(error.__cause__ or error) in (403, 404):
            raise UserError(
                f"Kaggle does not know the kernel {kernel}, or not as yours: was it deleted?"
            ) from error.__cause__
        raise
    return STATES[status.status.name], redact(status.failure_message)


def unhidden(function: Callable[..., T], *arguments: Any) -> T:
    """Call what the client has for kernels; it hides Kaggle's refusals behind a ValueError."""
    import requests

    try:
        return function(*arguments)
    except ValueError as error:
        if isinstance(error.__context__, requests.HTTPError):
            raise error.__context__ from None
        raise


def is_known(api: Any, kernel: str) -> bool:
    """Whether Kaggle has a kernel."""
    try:
        look(api, kernel)
    except UserError as error:
        if status_of(error.__cause__ or error) in (403, 404):
            return False
        raise
    return True


def is_passing(error: BaseException | None) -> bool:
    """Whether an error is one of the network or of a Kaggle in trouble, not a refusal."""
    return error is not None and (never_reached(error) or retry_delay(error, 1) is not None)


def show_live_log(api: Any, kernel: str, log: Log) -> bool:
    """Show what a session prints as long as the connection stands; tell whether there was more.

    The states tell the rest.
    """
    import requests

    before = log.events
    with contextlib.suppress(requests.RequestException, ValueError, OSError):
        events = api.kernels_logs_stream(kernel)
        with guard():  # swallows what is printed, and is needed for the request only
            first = next(events, None)
        if first is not None:
            log.show(itertools.chain([first], events))
    return log.events > before


def show_kept_log(api: Any, kernel: str, log: Log) -> None:
    """Show the rest of an ended session's log, where Kaggle gives it."""
    try:
        text = call(unhidden, api.kernels_logs, kernel, doing="Fetching the log", attempts=2)
    except UserError as error:
        say(str(error))
        return
    try:
        events = json.loads(text)
    except ValueError:
        events = [{"data": line} for line in text.splitlines()]
    log.show(event for event in events if isinstance(event, dict))


# Bringing it here


def is_brought(api: Any, remote: Run, session: Session, failure: str, log: Log) -> bool:
    """Download what an ended session left; tell whether the run is finished and whole.

    Where it is not, what the next session goes on from is written down.

    Raises
    ------
    UserError
        When the session failed or got no further.
    """
    if session.state == "complete":
        state = download(api, remote, session)
        if state == "finished":
            return True
    else:
        state = "stopped" if re.search(TIMED_OUT, failure.lower()) else session.state
        salvage(api, remote, session)
    progress = progress_of(brought_run(remote))
    further = progress > session.progress
    session = dataclasses.replace(session, state=state)
    if further:
        session = dataclasses.replace(session, source=session.kernel, progress=progress)
    record(remote, session)
    if state == "stopped" and further:
        say(f"Session {session.number} ran out of time {describe(progress)}.")
        return False
    raise UserError(explain_end(session, failure, further, log))


def explain_end(session: Session, failure: str, further: bool, log: Log) -> str:
    """Return why a session ended without a result, and what the same command does next."""
    reason = {
        "stopped": "was stopped before it got any further than what it began with",
        "cancelled": "was cancelled on the website",
    }.get(session.state, "failed")
    said = f": {failure.rstrip('.')}" if failure else ""
    source = f"goes on {describe(session.progress)}" if session.source else "begins anew"
    lines = "\n".join(f"  {line}" for line in log.lines) or "  (nothing)"
    return (
        f"The training on Kaggle {reason}{said}. The same command {source}, in a new session. "
        f"See {session.url}. The end of its log:\n{lines}"
    )


def describe(progress: list[int]) -> str:
    """Return a few words on how far a run is."""
    finished, epoch, step, _ = progress
    return "after the last epoch" if finished else f"at epoch {epoch + 1}, step {step + 1}"


def progress_of(run: Run) -> list[int]:
    """Return how far a run is, as numbers that grow: finished, epoch, step, predicted parts."""
    if run.finished:
        return [1, 0, 0, len(list(run.folder.glob("*.parts/*.npy")))]
    try:
        state, _ = load_checkpoint(run.checkpoint_file)
        return [0, int(state["epoch"]), int(state["step"]), 0]
    except (UserError, KeyError, TypeError):
        return [0, 0, 0, 0]


def download(api: Any, remote: Run, session: Session) -> str:
    """Bring a session's output to the folder `output`, whole; return the state it tells.

    Raises
    ------
    UserError
        When it does not come whole.
    """
    folder = remote.folder / "output"
    remove_folder(folder)
    fetch(api, session.kernel, folder, [LISTING])
    listing = read_listing(folder / LISTING, remote)
    files = listing["files"]
    for _ in range(2):
        fetch(api, session.kernel, folder, list(files))
        files = {
            name: sha256 for name, sha256 in files.items() if not is_file(folder / name, sha256)
        }
        if not files:
            return str(listing["state"])
    raise UserError(
        f"The output of {session.kernel} came damaged or cut off twice ({', '.join(files)}). "
        f"Nothing of it was put into {remote.name}. The same command downloads it again. "
        f"{start_anew(remote)}"
    )


def read_listing(file: Path, remote: Run) -> dict[str, Any]:
    """Return what a session says of its output: its state, and the digests of the run's files."""
    listing = read_json(file)
    try:
        for name in listing["files"]:
            parts = PurePosixPath(name).parts
            if parts[0] != remote.name or ".." in parts or "\\" in name:
                raise ValueError(f"it names {name!r}")
        listing["state"]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(
            f"{file} is not what a session writes ({error}). {start_anew(remote)}"
        ) from None
    return listing


def is_file(path: Path, sha256: str) -> bool:
    """Whether a file is there and has this digest."""
    return path.is_file() and digest(path) == sha256


def fetch(api: Any, kernel: str, folder: Path, names: list[str]) -> None:
    """Download files of a kernel's output to `folder`."""
    pattern = "|".join(map(re.escape, names))
    fetch_matching(api, kernel, folder, rf"\A(?:{pattern})\Z")


def fetch_matching(api: Any, kernel: str, folder: Path, pattern: str) -> None:
    """Download the files of a kernel's output whose names match."""
    doing = f"Downloading the output of {kernel}"
    try:
        call(unhidden, api.kernels_output, kernel, str(folder), pattern, True, doing=doing)
    except UserError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno:
            raise explain_os_error(error.__cause__, folder) from error
        raise


def salvage(api: Any, remote: Run, session: Session) -> None:
    """Download the run of a session that did not end by itself, as far as it is there."""
    folder = remote.folder / "output"
    remove_folder(folder)
    try:
        pattern = rf"\A{re.escape(remote.name)}/(?!.*\.\.)"
        fetch_matching(api, session.kernel, folder, pattern)
    except UserError as error:
        say(str(error))


def check(layout: Layout, run: Run, recipe: Recipe, options: RunOptions, predict: bool) -> None:
    """Raise a UserError unless a downloaded run is what was asked for and can be used."""
    if not is_finished(run, fitted_before(run, recipe, options), options):
        raise UserError(f"What came from Kaggle as {run.name} is not a finished run.")
    start_tensorflow()
    run.load_model()
    validated = run.read_metrics()["validation_images"]
    if validated:
        ids = read_probabilities(run.probabilities_file("validation", "plain"))["id"]
        if len(np.unique(ids)) != validated or len(ids) != validated:
            raise UserError(f"{run.name} came with other validation images than it tells.")
    if predict:
        check_predictions(layout, run)


def check_predictions(layout: Layout, run: Run) -> None:
    """Raise a UserError unless a run's predictions are its own, one for each test image."""
    file = run.probabilities_file("test", "plain")
    rows, ids = read_probabilities(file), submission_ids(layout)
    if not np.array_equal(rows["id"], ids):
        raise UserError(
            f"The predictions that came from Kaggle are of {len(rows):,} images; those of the "
            f"{len(ids):,} ids of the competition were expected."
        )
    if not np.allclose(rows["probabilities"].sum(axis=1), 1, atol=1e-2):
        raise UserError("The predictions that came from Kaggle are no probabilities.")
    if read_json(file.with_suffix(".json"))["weights_sha256"] != run.weights_sha256():
        raise UserError("The predictions that came from Kaggle are not of the weights with them.")


def publish(remote: Run, session: Session, run: Run) -> None:
    """Put a checked run into its place, whole, with the session it comes from."""
    brought = brought_run(remote)
    origin = {"kernel": session.url, "accelerator": session.accelerator, "sessions": session.number}
    write_json(brought.folder / "remote.json", origin)
    try:
        for path in brought.folder.rglob("*"):
            sync(path)
        brought.folder.replace(run.folder)
        sync(run.folder.parent)
    except OSError as error:
        raise explain_os_error(error, run.folder) from error
    forget(remote)
    say(
        f"{run.folder} is here, trained on Kaggle in {session.number} "
        f"session{'s' * (session.number > 1)}."
    )
