"""The real kaggle client, opened safely; what goes wrong with it, said in sentences."""

import contextlib
import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from kaggle_cifar import competition
from kaggle_cifar.errors import UserError
from kaggle_cifar.progress import say

if TYPE_CHECKING:
    import requests

T = TypeVar("T")

SETTINGS_PAGE = "https://www.kaggle.com/settings"

TIMEOUT = (10.0, 30.0)  # seconds to connect, and without a byte
UPLOAD_RETRIES = 2  # the client's own ten, with a timeout each, would keep a user for ten minutes
ATTEMPTS = 6  # of one request, or of a download that gets no further
LONGEST_WAIT = 300.0  # seconds; a longer Retry-After is for the user to wait
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")

HOW_TO_GET_CREDENTIALS = f"""\
Get a key at {SETTINGS_PAGE} ("Create New Token") and keep it in one of these four ways:
  1. an access token in the environment variable KAGGLE_API_TOKEN or the file ~/.kaggle/access_token
  2. a user name and a key in the environment variables KAGGLE_USERNAME and KAGGLE_KEY
  3. the file kaggle.json in ~/.kaggle (or in the folder that KAGGLE_CONFIG_DIR names)
  4. a login in the browser: `kaggle auth login`
`make demo` needs none of them."""


@dataclass(frozen=True)
class Credentials:
    """The credentials that the client will use: their kind, their place, never shown."""

    kind: str
    place: str
    secret: str = field(repr=False)
    path: Path | None = None

    @property
    def readable_by_others(self) -> bool:
        """Whether other users of this machine can read the file they stand in."""
        return self.path is not None and os.name != "nt" and bool(self.path.stat().st_mode & 0o044)

    def __post_init__(self) -> None:
        require_plain(self.secret, self.kind, self.place)


class MalformedCredentialsError(UserError):
    """Credentials that no HTTP header can carry; `place` says where they are."""

    def __init__(self, kind: str, place: str) -> None:
        super().__init__(
            f"The {kind} from {place} holds a line break, a space or another character that no "
            f"{kind} has. Copy it again from {SETTINGS_PAGE}."
        )
        self.place = place


def require_plain(value: object, kind: str, place: str) -> None:
    """Raise a MalformedCredentialsError unless `value` is text of visible ASCII characters."""
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        raise MalformedCredentialsError(kind, place)


def find_credentials() -> Credentials | None:
    """Return the credentials that the client would use, in its own order, or None.

    Raises
    ------
    MalformedCredentialsError
        When they hold a character that no credentials have, such as a line break.
    UserError
        When a file of credentials is there and cannot be read.
    """
    try:
        return access_token() or legacy_key() or oauth_login()
    except (OSError, UnicodeDecodeError) as error:
        file = getattr(error, "filename", None)
        found = f"{str(file)[:60]}: {error.strerror}" if isinstance(error, PermissionError) else ""
        raise UserError(
            f"The Kaggle credentials could not be read ({found or type(error).__name__}). Files "
            f"in ~/.kaggle and {config_folder()} must be UTF-8 text and readable by you; a token "
            "in KAGGLE_API_TOKEN must be at most 255 characters long."
        ) from error


def access_token() -> Credentials | None:
    """Return the access token as the client itself finds it: it is used before any key."""
    from kagglesdk import get_access_token_from_env

    token, source = get_access_token_from_env()
    if not token:
        return None
    if source != "access_token":
        named = Path(os.environ[source])
        path = named if named.exists() else None
        return Credentials("access token", f"the variable {source}", token, path)
    names = (home() / ".kaggle" / name for name in ("access_token", "access_token.txt"))
    path = next(path for path in names if path.exists() and path.read_text().strip())
    return Credentials("access token", str(path), token, path)


def legacy_key() -> Credentials | None:
    """Return the user name and key; each environment variable overrides the file's value."""
    path = config_folder() / "kaggle.json"
    values = read_object(path)
    username = os.environ.get("KAGGLE_USERNAME", values.get("username"))
    key = os.environ.get("KAGGLE_KEY", values.get("key"))
    if not username or not key:
        return None
    from_variables = "KAGGLE_KEY" in os.environ
    place = "the variables KAGGLE_USERNAME and KAGGLE_KEY" if from_variables else str(path)
    require_plain(username, "user name", place)
    return Credentials("key", place, key, None if from_variables else path)


def oauth_login() -> Credentials | None:
    """Return what `kaggle auth login` left."""
    path = home() / ".kaggle" / "credentials.json"
    token = read_object(path).get("refresh_token")
    return Credentials("browser login", str(path), token, path) if token else None


def config_folder() -> Path:
    """Return the folder where the client looks for `kaggle.json`."""
    if folder := os.environ.get("KAGGLE_CONFIG_DIR"):
        return Path(folder)
    folder_at_home = home() / ".kaggle"
    if sys.platform.startswith("linux") and not folder_at_home.exists():
        return Path(os.environ.get("XDG_CONFIG_HOME") or home() / ".config") / "kaggle"
    return folder_at_home


def home() -> Path:
    """Return the user's folder, or the path `~` if the system knows none, as the client does."""
    return Path(os.path.expanduser("~"))  # noqa: PTH111 - `Path.home` raises then


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object at `path`; an empty one where the client would find nothing."""
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def require_credentials() -> Credentials:
    """Return the credentials or raise the UserError that says where to get some."""
    credentials = find_credentials()
    if credentials:
        return credentials
    path = config_folder() / "kaggle.json"
    broken = f"{path} is there but holds no user name and key. " if path.exists() else ""
    raise UserError(f"No Kaggle credentials were found. {broken}{HOW_TO_GET_CREDENTIALS}")


def open_client() -> Any:
    """Return an authenticated `KaggleApi`; use it through `call` or inside `guard`.

    Raises
    ------
    UserError
        When there are no credentials, Kaggle refuses them, or Kaggle cannot be reached.
    """
    credentials = require_credentials()
    if credentials.readable_by_others:
        say(f"Warning: {readable_by_others(credentials)}")
    try:
        # The client logs in when it is imported; once, in `authenticate`, is enough.
        with guard(network=False):
            from kaggle.api.kaggle_api_extended import KaggleApi
    except OSError as error:
        raise UserError(
            f"The kaggle client could not make its folder {config_folder()} "
            f"({error.strerror}). Make it or set KAGGLE_CONFIG_DIR to a folder that you can write."
        ) from error
    api = KaggleApi()
    call(api.authenticate, doing="Logging in to Kaggle")
    return api


def readable_by_others(credentials: Credentials) -> str:
    """Return the sentence that tells the user to close a file of credentials."""
    path = credentials.path
    return f"other users of this machine can read {path}. Close it: chmod 600 {path}"


@contextlib.contextmanager
def guard(
    on_bytes: Callable[[int], None] | None = None,
    network: bool = True,
    timeout: tuple[float, float] | None = None,
) -> Iterator[None]:
    """Hold the client to what it leaves open, as long as the block lasts.

    The client builds a session for every request and gives most of them no timeout, appends the
    body of an error page to a download, believes any 206, and prints to standard output. All its
    requests pass `HTTPAdapter.send`, so that is the one place to put this right.

    `on_bytes` is told how far a download is, in bytes from the file's start. Without `network`
    every request fails at once.
    """
    import requests
    from requests.adapters import HTTPAdapter

    send = HTTPAdapter.send

    def guarded_send(
        adapter: HTTPAdapter, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        if not network:
            raise requests.ConnectionError("no network while the client is imported")
        total = adapter.max_retries.total
        if isinstance(total, int) and total > UPLOAD_RETRIES:
            adapter.max_retries = adapter.max_retries.new(total=UPLOAD_RETRIES)
        if request.method == "GET":  # a compressed answer has another length than its file
            request.headers["Accept-Encoding"] = "identity"
        response = send(adapter, request, **{**options, "timeout": timeout or TIMEOUT})
        if request.method == "GET":
            refuse_wrong_answer(request, response)
            let_decode(response)
            if on_bytes:
                count_bytes(response, on_bytes)
        return response

    HTTPAdapter.send = guarded_send  # type: ignore[method-assign, assignment]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        HTTPAdapter.send = send  # type: ignore[method-assign]


class WrongRangeError(Exception):
    """A server sent another part of a file, or of another file, than was asked for."""


def let_decode(response: "requests.Response") -> None:
    """Make the client take a compressed answer to a download, which `requests` decodes.

    The client compares the file with the length, and resumes at an offset, that only the
    compressed content has.
    """
    from urllib3 import HTTPResponse

    encodings = {
        encoding.strip().lower()
        for encoding in response.headers.get("Content-Encoding", "identity").split(",")
    } - {"identity"}
    if not encodings:
        return
    if unknown := encodings.difference(HTTPResponse.CONTENT_DECODERS):
        raise WrongRangeError(f"asked for it as it is, was sent it as {', '.join(unknown)}")
    if response.status_code == 206:
        raise WrongRangeError("asked for a part, was sent a part of the compressed file")
    for name in ("Content-Length", "Accept-Ranges"):
        response.headers.pop(name, None)


def refuse_wrong_answer(request: "requests.PreparedRequest", response: "requests.Response") -> None:
    """Raise when the answer to a download is an error or not the part that was asked for."""
    response.raise_for_status()
    if response.status_code != 206:
        return
    asked = request.headers.get("Range", "")
    if range_start(response) != int(re.sub(r"\D", "", asked) or -1):
        found = response.headers.get("Content-Range")
        raise WrongRangeError(f"asked for {asked or 'no part'}, was sent {found}")
    etag, validator = response.headers.get("ETag"), request.headers.get("If-Range", "")
    if etag and '"' in validator and etag != validator:
        raise WrongRangeError("the file changed on the server in the middle")


def range_start(response: "requests.Response") -> int:
    """Return the offset of a partial answer in its file; 0 when it is none."""
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match and response.status_code == 206 else 0


def count_bytes(response: "requests.Response", on_bytes: Callable[[int], None]) -> None:
    """Make `response` tell `on_bytes` its position in the file after each chunk."""
    iter_content = response.iter_content

    def counted(*args: Any, **kwargs: Any) -> Iterator[Any]:
        position = range_start(response)
        on_bytes(position)
        for chunk in iter_content(*args, **kwargs):
            yield chunk
            position += len(chunk)
            on_bytes(position)

    response.iter_content = counted  # type: ignore[method-assign]


def call(
    function: Callable[..., T],
    *arguments: Any,
    doing: str,
    attempts: int = ATTEMPTS,
    timeout: tuple[float, float] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Return what a function of the client returns, guarded and tried again where that helps.

    `timeout` holds the seconds to connect, and without a byte; by default they are `TIMEOUT`.

    Raises
    ------
    UserError
        With a sentence that begins with `doing`.
    """
    for attempt in range(1, attempts + 1):
        try:
            with guard(timeout=timeout):
                return function(*arguments)
        except (Exception, SystemExit) as error:
            delay = None if never_reached(error) else retry_delay(error, attempt)
            if delay is None or attempt == attempts:
                raise explain(error, doing, timeout) from error
            reason = reason_in_short(error, timeout)
            say(f"{doing}: {reason}. The next try comes in {delay:.0f} s.")
            sleep(delay)
    raise ValueError(f"attempts must be at least 1, not {attempts}")


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that an error stands for, or None."""
    response = getattr(error, "response", None)
    if response is None:
        return None
    code: Any = response.status_code
    if code < 400:  # the client raises also for an error told in the body of a 200
        code = answer(response).get("code")
    return code if isinstance(code, int) else None


def answer(response: "requests.Response") -> dict[str, Any]:
    """Return the JSON object in an answer, or an empty one."""
    if "json" not in response.headers.get("Content-Type", ""):  # it may be as long as an archive
        return {}
    try:
        value = response.json()
    except (ValueError, OSError):
        return {}
    return value if isinstance(value, dict) else {}


def retry_delay(error: BaseException, attempt: int) -> float | None:
    """Return how many seconds to wait before trying again, or None when that is no use."""
    import requests

    backoff = min(2.0 ** (attempt - 1), 30.0)
    status = status_of(error)
    if status == 429:
        asked = retry_after(error)
        return None if asked and asked > LONGEST_WAIT else asked or backoff
    if status is not None:
        return backoff if status >= 500 else None
    broken = (
        ConnectionError,
        TimeoutError,
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
    )
    return backoff if isinstance(error, broken) else None


def retry_after(error: BaseException) -> float | None:
    """Return the seconds that a server asks to wait, given as a number or a date."""
    response = getattr(error, "response", None)
    value = response.headers.get("Retry-After", "") if response is not None else ""
    with contextlib.suppress(ValueError):
        return max(0.0, float(value))
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return None


def never_reached(error: BaseException) -> bool:
    """Whether no connection came about, so that trying again at once is no use."""
    import requests
    from urllib3.exceptions import NewConnectionError

    unreachable = (requests.exceptions.SSLError, requests.ConnectTimeout)
    return (
        isinstance(error, unreachable)
        or isinstance(reason_of(error), NewConnectionError)
        or proxy_refused(error)
    )


def reason_of(error: BaseException) -> Any:
    """Return why urllib3 gave up, where an error of requests tells it."""
    return getattr(error.args[0], "reason", None) if error.args else None


def proxy_refused(error: BaseException) -> bool:
    """Whether a proxy could not be used; a connection that broke behind one looks much the same."""
    import requests

    if isinstance(error, requests.exceptions.InvalidProxyURL):
        return True
    original = getattr(reason_of(error), "original_error", None)
    return isinstance(error, requests.exceptions.ProxyError) and not isinstance(
        original, ConnectionError
    )


def explain(
    error: BaseException, doing: str, timeout: tuple[float, float] | None = None
) -> UserError:
    """Return the sentence for an error of the client; it holds no credential and no signed link."""
    import requests

    if isinstance(error, UserError):
        return error
    not_json = (json.JSONDecodeError, requests.exceptions.JSONDecodeError)
    status = status_of(error)
    if isinstance(error, SystemExit):
        reason = explain_status(401, error)
    elif status is not None:
        reason = explain_status(status, error)
    elif isinstance(error, not_json):
        reason = (
            "the answer was not one of Kaggle's. A login page or a proxy between this machine and "
            "Kaggle may have given it; if there is none, update the client: "
            "pip install --upgrade kaggle"
        )
    elif isinstance(error, requests.RequestException):
        reason = ". ".join(explain_connection(error, timeout or TIMEOUT))
    elif isinstance(error, ValueError | KeyError | AttributeError | TypeError):
        reason = (
            "the installed kaggle client does not understand Kaggle's answer "
            f"({type(error).__name__}: {redact(str(error))}). Update the client: "
            "pip install --upgrade kaggle"
        )
    else:
        reason = f"{type(error).__name__}: {redact(str(error))}"
    return UserError(f"{doing} failed: {reason}.")


def reason_in_short(error: BaseException, timeout: tuple[float, float] | None = None) -> str:
    """Return what happened, without what to do, for an error after which a call is repeated."""
    import requests

    status = status_of(error)
    if status is not None:
        limited = "Kaggle limits the rate of requests" if status == 429 else "the server refuses"
        what = "the server is having problems" if status >= 500 else limited
        return f"{what} (HTTP {status}){said_by_kaggle(error)}"
    if isinstance(error, WrongRangeError):
        return f"the server sent a wrong part of the file ({error})"
    if isinstance(error, requests.RequestException):
        return explain_connection(error, timeout or TIMEOUT)[0]
    return f"{type(error).__name__}: {redact(str(error))}"


def explain_status(status: int, error: BaseException) -> str:
    """Return why Kaggle answered with this HTTP status and what to do."""
    if status == 401:
        return refused_credentials()
    said = said_by_kaggle(error)
    if status == 403:
        return (
            f"Kaggle refuses (HTTP 403){said}. Nearly always the rules of the competition were not "
            f"accepted: open {competition.RULES_PAGE}, log in as the user whose key is used here, "
            "and accept them; this cannot be done from here. Otherwise the account has no access, "
            f"or '{competition.SLUG}' is not the competition's name"
        )
    if status == 404:
        return (
            f"Kaggle does not know it (HTTP 404){said}. See whether {competition.PAGE} is still "
            "there; if it is, update this program"
        )
    if status == 429:
        wait = retry_after(error)
        when = f"in {wait:.0f} s" if wait else "in some minutes"
        return f"Kaggle limits the rate of requests (HTTP 429){said}. Run this again {when}"
    if status >= 500:
        return (
            f"Kaggle is having problems (HTTP {status}){said}. Run this again later; "
            "https://www.kagglestatus.com tells more"
        )
    return f"Kaggle refuses (HTTP {status}){said}"


def refused_credentials() -> str:
    """Return the sentence for a key that Kaggle does not accept."""
    credentials = find_credentials()
    found = f"{credentials.kind} from {credentials.place}" if credentials else "credentials"
    order = (
        " It is used before any other key: remove it if another one is good."
        if credentials and credentials.kind == "access token"
        else ""
    )
    return (
        f"Kaggle does not accept the {found} (HTTP 401).{order} "
        f'Make a new one at {SETTINGS_PAGE} ("Create New Token") and put it there'
    )


def said_by_kaggle(error: BaseException) -> str:
    """Return what Kaggle said with an error, in brackets, or nothing."""
    response = getattr(error, "response", None)
    message = answer(response).get("message") if response is not None else None
    return f' ("{redact(str(message)).rstrip(".")}")' if message else ""


def explain_connection(
    error: "requests.RequestException", timeout: tuple[float, float]
) -> tuple[str, str]:
    """Return why there is no connection, and what to do; never the URL, which may be signed."""
    import requests

    request = getattr(error, "request", None)
    host = (urlsplit(request.url).hostname if request is not None else None) or "Kaggle"
    if proxy_refused(error):
        names = [name for name in PROXY_VARIABLES if os.environ.get(name) or proxy(name)]
        return (
            f"the proxy on the way to {host} could not be used",
            f"Check the environment variables {' and '.join(names or PROXY_VARIABLES)}",
        )
    if isinstance(error, requests.exceptions.SSLError):
        return (
            f"no secure connection to {host} could be made",
            "Check this machine's clock, and REQUESTS_CA_BUNDLE if a proxy has certificates of "
            "its own",
        )
    if isinstance(error, requests.ConnectTimeout):
        return f"{host} did not answer within {timeout[0]:.0f} s", "Check the network"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        silent = f"{host} sent nothing for {timeout[1]:.0f} s"
        return silent, "Check the network and run this again"
    if never_reached(error):
        return f"{host} could not be reached", "Check the network"
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return f"the answer of {host} could not be decompressed", "Run this again later"
    return f"the connection to {host} broke off", "Run this again"


def proxy(name: str) -> str | None:
    """Return a proxy variable written in capitals."""
    return os.environ.get(name.upper())


def redact(text: str) -> str:
    """Return one short line of `text` without the queries of URLs and without credentials."""
    text = re.sub(r"\?\S+=\S*", "?…", " ".join(text.split()))
    with contextlib.suppress(UserError):
        credentials = find_credentials()
        text = text.replace(credentials.secret, "…") if credentials else text
    return text[:200]
