"""Files by signed links: downloads that resume, and uploads.

A signed link needs no credentials and gets none. The kaggle client's own downloads and uploads are
not used: they set no timeout that this program can change, believe any partial answer, and keep
using a link that has expired.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import requests
from urllib3 import HTTPResponse

from kaggle_cifar import competition
from kaggle_cifar.kaggle.failures import NotKaggleError, WrongRangeError, answer_of
from kaggle_cifar.kaggle.session import open_session

if TYPE_CHECKING:
    from kaggle_cifar.kaggle.api import Api

CHUNK_SIZE = 16 * 1024  # bytes: what a lost connection costs, and the least that counts as progress
UPLOAD_RETRIES = 2
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


def signed_link(api: "Api", name: str) -> str:
    """Ask Kaggle for a signed link to a file of the competition.

    Raises
    ------
    NotKaggleError
        If the answer holds no link.
    requests.RequestException
        If Kaggle refuses or cannot be reached.
    """
    from kagglesdk.competitions.types.competition_api_service import ApiDownloadDataFileRequest

    request = ApiDownloadDataFileRequest()
    request.competition_name = competition.SLUG
    request.file_name = name
    with api.build_kaggle_client(follow_redirects=False) as kaggle:
        try:
            kaggle.competitions.competition_api_client.download_data_file(request).close()
        except requests.TooManyRedirects as redirect:
            response = redirect.response
            if response is not None:
                return urljoin(response.url, response.headers["Location"])
    raise NotKaggleError(f"no link to {name}")


def download_link(
    link: str, path: Path, on_bytes: Callable[[int], object] = lambda position: None
) -> None:
    """Download a file to `path`, resuming if a part of it is there.

    `on_bytes` gets the position in the file, in bytes, after each chunk.

    Raises
    ------
    WrongRangeError
        If the server sent something else than the rest of the file.
    requests.RequestException
        If the server refuses or the connection is lost; the part at `path` stays.
    """
    start, validator = resumable_part(path)
    # A compressed answer has another length than its file, and cannot be resumed.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    with open_session() as session, session.get(link, headers=headers, stream=True) as response:
        if not response.ok:
            answer_of(response)  # keeps the message of the error, before the connection closes
            response.raise_for_status()
        check_encoding(response)
        if response.status_code == 206:
            check_part(response, start, validator)
        elif start and not validator_of(response):
            raise WrongRangeError(f"asked for the bytes from {start}, got another file")
        else:
            start = 0
            start_again(response, path)
        write_content(response, path, start, on_bytes)
    validator_file(path).unlink(missing_ok=True)


def write_content(
    response: requests.Response, path: Path, start: int, on_bytes: Callable[[int], object]
) -> None:
    """Append the content of a response to `path`, which has `start` bytes."""
    on_bytes(start)
    position = start
    with path.open("ab") as file:
        for chunk in response.iter_content(CHUNK_SIZE):
            file.write(chunk)
            file.flush()
            position += len(chunk)
            on_bytes(position)
    length = response.headers.get("Content-Length")
    if length and not encodings_of(response) and position != start + int(length):
        # urllib3 before 2.0 takes a connection that closes early for the end of the content.
        raise requests.ConnectionError(f"got {position - start} of {length} bytes")


def validator_file(path: Path) -> Path:
    """Return the file that says of which version of the remote file `path` is a part."""
    return path.with_name(f"{path.name}.validator")


def resumable_part(path: Path) -> tuple[int, str]:
    """Return the size of the part at `path` and the remote file's ETag or date; 0 if none."""
    try:
        return path.stat().st_size, validator_file(path).read_text()
    except FileNotFoundError:
        return 0, ""


def start_again(response: requests.Response, path: Path) -> None:
    """Remove what is at `path`, and note of which version of the file the next bytes are."""
    path.unlink(missing_ok=True)
    if (validator := validator_of(response)) and not encodings_of(response):
        validator_file(path).write_text(validator)
    else:
        validator_file(path).unlink(missing_ok=True)


def validator_of(response: requests.Response) -> str | None:
    """Return what names the version of the file that a server sends."""
    return response.headers.get("ETag") or response.headers.get("Last-Modified")


def encodings_of(response: requests.Response) -> set[str]:
    """Return the encodings of a response's content besides `identity`."""
    listed = response.headers.get("Content-Encoding", "identity").split(",")
    return {encoding.strip().lower() for encoding in listed} - {"identity"}


def check_encoding(response: requests.Response) -> None:
    """Raise a WrongRangeError if the content is compressed and cannot be used all the same."""
    encodings = encodings_of(response)
    if unknown := encodings.difference(HTTPResponse.CONTENT_DECODERS):
        raise WrongRangeError(f"asked for no encoding, got {', '.join(unknown)}")
    if encodings and response.status_code == 206:
        raise WrongRangeError("asked for a part of the file, got a part of the compressed file")


def check_part(response: requests.Response, start: int, validator: str) -> None:
    """Raise a WrongRangeError if a partial answer is not the rest of the file from `start`."""
    found = response.headers.get("Content-Range", "")
    match = CONTENT_RANGE.match(found)
    if (
        not start
        or not match
        or int(match[1]) != start
        or match[3] not in ("*", str(int(match[2]) + 1))
    ):
        raise WrongRangeError(f"asked for the bytes from {start}, got {found or 'no range'}")
    etag = response.headers.get("ETag")
    if etag and '"' in validator and etag != validator:
        raise WrongRangeError("the file changed on the server during the download")


def upload_file(link: str, path: Path) -> None:
    """Upload a file to a signed link.

    Raises
    ------
    requests.RequestException
        If the server refuses or cannot be reached.
    """
    with open_session(UPLOAD_RETRIES) as session, path.open("rb") as file:
        session.put(link, data=file).raise_for_status()
