"""The credentials that the kaggle client uses, and where it finds them."""

import json
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaggle_cifar.errors import UserError

SETTINGS_PAGE = "https://www.kaggle.com/settings"

HOW_TO_GET_CREDENTIALS = f"""\
Create a token at {SETTINGS_PAGE} ("Create New Token") and store it in one of these places:
  1. an access token in the environment variable KAGGLE_API_TOKEN or in ~/.kaggle/access_token
  2. a user name and a key in the environment variables KAGGLE_USERNAME and KAGGLE_KEY
  3. the file kaggle.json in ~/.kaggle or in the folder that KAGGLE_CONFIG_DIR names
  4. a browser login: `kaggle auth login`
`make demo` needs no credentials."""


class NoCredentialsError(UserError):
    """There are no Kaggle credentials."""


class UnreadableCredentialsError(UserError):
    """A file or variable with Kaggle credentials cannot be read."""


class MalformedCredentialsError(UserError):
    """Credentials hold a character that no HTTP header can carry; `place` says where they are."""

    def __init__(self, kind: str, place: str) -> None:
        super().__init__(
            f"The {kind} from {place} holds a line break, a space or another invalid character. "
            f"Copy it again from {SETTINGS_PAGE}."
        )
        self.place = place


@dataclass(frozen=True)
class Credentials:
    """The kind and the place of the credentials that the client uses; the secret is not shown."""

    kind: str
    place: str
    secret: str = field(repr=False)
    path: Path | None = None

    def __post_init__(self) -> None:
        require_visible_ascii(self.secret, self.kind, self.place)

    @property
    def readable_by_others(self) -> bool:
        """Whether other users of this machine can read the file that holds them."""
        return self.path is not None and os.name != "nt" and bool(self.path.stat().st_mode & 0o044)


def require_visible_ascii(value: object, kind: str, place: str) -> None:
    """Raise a MalformedCredentialsError unless `value` is text of visible ASCII characters."""
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        raise MalformedCredentialsError(kind, place)


def require_credentials() -> Credentials:
    """Return the credentials.

    Raises
    ------
    NoCredentialsError
        If there are none.
    UserError
        As `find_credentials`.
    """
    credentials = find_credentials()
    if credentials:
        return credentials
    path = config_folder() / "kaggle.json"
    broken = f"{path} holds no user name and key. " if path.exists() else ""
    raise NoCredentialsError(f"No Kaggle credentials found. {broken}{HOW_TO_GET_CREDENTIALS}")


def find_credentials() -> Credentials | None:
    """Return the credentials that the client would use, in the client's order, or None.

    Raises
    ------
    MalformedCredentialsError
        If they hold a character that credentials cannot have, such as a line break.
    UnreadableCredentialsError
        If a file of credentials exists and cannot be read.
    """
    try:
        return access_token() or legacy_key() or browser_login()
    except (OSError, UnicodeDecodeError) as error:
        file = getattr(error, "filename", None)
        found = f"{str(file)[:60]}: {error.strerror}" if isinstance(error, PermissionError) else ""
        raise UnreadableCredentialsError(
            f"The Kaggle credentials could not be read ({found or type(error).__name__}). Files in "
            f"~/.kaggle and {config_folder()} must be UTF-8 text that you can read. A token in "
            "KAGGLE_API_TOKEN must have at most 255 characters."
        ) from error


def access_token() -> Credentials | None:
    """Return the access token, which the client prefers to any key."""
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
    """Return the user name and key; an environment variable overrides the file's value."""
    path = config_folder() / "kaggle.json"
    values = read_credentials_file(path)
    username = os.environ.get("KAGGLE_USERNAME", values.get("username"))
    key = os.environ.get("KAGGLE_KEY", values.get("key"))
    if not username or not key:
        return None
    from_variables = "KAGGLE_KEY" in os.environ
    place = "the variables KAGGLE_USERNAME and KAGGLE_KEY" if from_variables else str(path)
    require_visible_ascii(username, "user name", place)
    return Credentials("key", place, key, None if from_variables else path)


def browser_login() -> Credentials | None:
    """Return the token that `kaggle auth login` stored."""
    path = home() / ".kaggle" / "credentials.json"
    token = read_credentials_file(path).get("refresh_token")
    return Credentials("browser login", str(path), token, path) if token else None


def config_folder() -> Path:
    """Return the folder in which the client looks for `kaggle.json`."""
    if folder := os.environ.get("KAGGLE_CONFIG_DIR"):
        return Path(folder)
    folder_at_home = home() / ".kaggle"
    if sys.platform.startswith("linux") and not folder_at_home.exists():
        return Path(os.environ.get("XDG_CONFIG_HOME") or home() / ".config") / "kaggle"
    return folder_at_home


def home() -> Path:
    """Return the user's folder, or the path `~` if the system knows none, as the client does."""
    return Path(os.path.expanduser("~"))  # noqa: PTH111 - `Path.home` raises then


def read_credentials_file(path: Path) -> dict[str, Any]:
    """Return the JSON object at `path`, or an empty one if the client would find none."""
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def readable_by_others(credentials: Credentials) -> str:
    """Return the warning that other users can read a file of credentials."""
    path = credentials.path
    return f"other users of this machine can read {path}. Run: chmod 600 {path}"
