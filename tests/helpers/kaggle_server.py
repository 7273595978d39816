"""A stand-in for kaggle.com on the loopback interface, for the real client.

It is the proxy in the environment variable `http_proxy`, so every host name reaches it. It parses
and answers with the types of `kagglesdk`. Faults are scripted: each request uses up one entry of a
list of faults. When the list is empty, the site works again.
"""

import base64
import csv
import gzip
import hashlib
import io
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.helpers.kaggle_kernels import KernelHost, KernelMethods

SLUG = "cifar-10"
USERNAME = "ada"
KEY = "FAKE-KEY-0123456789abcdef"
TOKEN = "FAKE-TOKEN-fedcba9876543210"
SIGNATURE = "FAKE-SIGNATURE-55aa55aa"
SECRETS = (KEY, TOKEN, SIGNATURE, base64.b64encode(f"{USERNAME}:{KEY}".encode()).decode())

CLASSES = "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck"
LABELS = set(CLASSES.split(","))
PAGE_SIZE = 20
DELAY_HEADER = "X-Answered-After"  # the seconds that a late answer took

Fault = Callable[["Handler"], None]


@dataclass
class KaggleSite:
    """The state of the site: its files, its solution, its submissions, its faults."""

    files: dict[str, bytes] = field(default_factory=dict)
    solution: dict[int, tuple[str, str]] = field(default_factory=dict)  # id: label, Usage
    listed_sizes: dict[str, int] = field(default_factory=dict)
    rules_accepted: bool = True
    pending_polls: int = 1
    left_today: int | None = 4
    pause: float = 0.0  # seconds before each MiB of a file

    api_faults: dict[str, list[Fault]] = field(default_factory=dict)  # by method
    clock: Callable[[], float] = time.monotonic
    wait: Callable[[float], Any] | None = None  # called before late answers; sleeps by default
    list_lag: float = 0.0  # seconds until a submission is listed
    listed: dict[str, Any] = field(default_factory=dict)  # wrong values in the list

    get_faults: list[Fault] = field(default_factory=list)  # downloads from the start
    range_faults: list[Fault] = field(default_factory=list)  # downloads of a part
    put_faults: list[Fault] = field(default_factory=list)  # uploads

    leaderboard: dict[str, list[str]] = field(default_factory=dict)  # scores, "public", "private"

    kernels: KernelHost = field(default_factory=KernelHost)

    uploads: dict[str, bytes] = field(default_factory=dict)
    upload_names: dict[str, str] = field(default_factory=dict)
    submissions: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)  # "ListDataFiles", "GET train.7z bytes=5-"
    closing: threading.Event = field(default_factory=threading.Event)

    def count(self, request: str) -> int:
        """Return how many requests begin like this."""
        return sum(entry.startswith(request) for entry in self.requests)


# -- faults


def refuse(status: int, message: str = "refused", **headers: str) -> Fault:
    def fault(handler: "Handler") -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.answer_error(status, message, named)

    return fault


def cut_at(position: int) -> Fault:
    """Send the file as asked, but drop the connection at this byte of the file."""

    def fault(handler: "Handler") -> None:
        handler.answer_file(until=position)

    return fault


def cut_without_length(position: int) -> Fault:
    """Send no length and end at this byte, as if it were the last."""

    def fault(handler: "Handler") -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(handler.file_content()[:position])
        handler.close_connection = True

    return fault


def compress(handler: "Handler") -> None:
    """Send the file compressed, although the request asks for no encoding."""
    body = gzip.compress(handler.file_content(), 1)
    handler.answer(200, body, {"Content-Encoding": "gzip", "Accept-Ranges": "bytes"})


def send_more(handler: "Handler") -> None:
    """Send the file and something after it."""
    handler.answer_file(content=handler.file_content() + bytes(1_000), start=0)


def redirect_in_a_circle(handler: "Handler") -> None:
    handler.answer(302, b"", {"Location": handler.path})


def stall_at(position: int) -> Fault:
    """Send the file up to this byte, then nothing, and keep the connection open."""

    def fault(handler: "Handler") -> None:
        handler.answer_file(until=position, stall=True)

    return fault


def stall(handler: "Handler") -> None:
    handler.site.closing.wait()


def drop(handler: "Handler") -> None:
    handler.close_connection = True


def ignore_range(handler: "Handler") -> None:
    handler.answer_file(start=0)


def wrong_offset(handler: "Handler") -> None:
    handler.answer_file(start=handler.range_start() + 7)


def foreign_etag(handler: "Handler") -> None:
    content = bytes(len(handler.file_content()))
    handler.answer_file(content=content, start=handler.range_start(), etag='"another"')


def wrong_bytes(handler: "Handler") -> None:
    """Send the right headers and length, but the content of an error page."""
    content = b"<html>busy</html>" * (len(handler.file_content()) // 17 + 1)
    content = content[: len(handler.file_content())]
    handler.answer_file(content=content, start=handler.range_start())


def error_of_missing_length(status: int) -> Fault:
    """Answer with an error whose body is as long as the missing part."""

    def fault(handler: "Handler") -> None:
        body = b"E" * (len(handler.file_content()) - handler.range_start())
        handler.answer(status, body, {"Content-Type": "text/html"})

    return fault


def page_instead(handler: "Handler") -> None:
    """Answer with a short page and status 200, like a login page of a network."""
    handler.answer(200, b"<html>please log in</html>", {"Content-Type": "text/html"})


def compress_part(handler: "Handler") -> None:
    """Send a part of the compressed file instead of a part of the file."""
    body = gzip.compress(handler.file_content(), 1)
    start = handler.range_start()
    headers = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
    handler.answer(206, body[start:], {**headers, "Content-Encoding": "gzip"})


def cut_compressed(handler: "Handler") -> None:
    """Send half of the compressed file."""
    body = gzip.compress(handler.file_content(), 1)
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.close_connection = True


def encode_unasked(encoding: str) -> Fault:
    """Send the file as it is, but call it encoded."""

    def fault(handler: "Handler") -> None:
        handler.answer(200, handler.file_content(), {"Content-Encoding": encoding})

    return fault


def answer_json(value: Any) -> Fault:
    """Answer with this JSON, of whatever types."""

    def fault(handler: "Handler") -> None:
        handler.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    return fault


def lose_answer(handler: "Handler") -> None:
    """Do what was asked, but drop the connection before the answer."""
    handler.mute = True
    handler.dispatch_api()
    handler.close_connection = True


def refuse_afterwards(status: int, **headers: str) -> Fault:
    """Do what was asked, but answer with an error, like a proxy that times out."""

    def fault(handler: "Handler") -> None:
        handler.mute = True
        handler.dispatch_api()
        handler.mute = False
        handler.answer_error(status, "gone", headers)

    return fault


def redirect_afterwards(status: int) -> Fault:
    """Do what was asked, then redirect to the same address."""
    service = "competitions.CompetitionApiService/CreateSubmission"
    return refuse_afterwards(status, Location=f"http://localhost/api/v1/{service}")


def answer_late(seconds: float) -> Fault:
    """Do what was asked, and answer after some time."""

    def fault(handler: "Handler") -> None:
        handler.delay = seconds
        handler.dispatch_api()

    return fault


# -- the server


class Handler(KernelMethods, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    site: KaggleSite
    mute = False
    delay = 0.0

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.method = urlsplit(self.path).path.rsplit("/", 1)[-1]
        self.site.requests.append(self.method)
        self.one_of(self.site.api_faults.get(self.method, []), self.dispatch_api)

    def do_GET(self) -> None:
        name = urlsplit(self.path).path.rsplit("/", 1)[-1]
        asked = self.headers.get("Range")
        self.site.requests.append(f"GET {name} {asked or ''}".strip())
        if "/kernels/logs/stream/" in self.path:
            self.stream_log(name)
            return
        if "Authorization" in self.headers or SIGNATURE not in self.path:
            self.answer_error(403, "storage takes signed links only")
            return
        faults = self.site.range_faults if asked else self.site.get_faults
        self.one_of(faults, self.answer_file)

    def do_PUT(self) -> None:
        self.body = self.read_body()
        self.site.requests.append("PUT")
        self.one_of(self.site.put_faults, self.take_upload)

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def one_of(self, faults: list[Fault], well: Callable[[], None]) -> None:
        if faults:
            faults.pop(0)(self)
        else:
            well()

    # -- answers

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        if self.mute:
            return
        if self.delay:
            (self.site.wait or self.site.closing.wait)(self.delay)
        self.send_response(status)
        self.send_header(DELAY_HEADER, str(self.delay))
        self.delay = 0.0
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_error(
        self, status: int, message: str, headers: dict[str, str] | None = None
    ) -> None:
        body = f'{{"code": {status}, "message": "{message}"}}'.encode()
        self.answer(status, body, {"Content-Type": "application/json", **(headers or {})})

    def answer_object(self, value: Any) -> None:
        self.answer(200, value.to_json().encode(), {"Content-Type": "application/json"})

    # -- storage

    def file_content(self) -> bytes:
        if self.path.startswith("/kernels/") or ".test/kernels/" in self.path:
            return self.kernel_file(urlsplit(self.path).path)
        return self.site.files[urlsplit(self.path).path.rsplit("/", 1)[-1]]

    def range_start(self) -> int:
        return int(re.sub(r"\D", "", self.headers.get("Range", "")) or 0)

    def answer_file(
        self,
        *,
        content: bytes | None = None,
        start: int | None = None,
        etag: str | None = None,
        until: int | None = None,
        stall: bool = False,
    ) -> None:
        content = self.file_content() if content is None else content
        true_etag = f'"{hashlib.md5(self.file_content()).hexdigest()}"'
        if start is None:
            fits = self.headers.get("If-Range", true_etag) == true_etag
            start = self.range_start() if fits else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", etag or true_etag)
        self.send_header("Last-Modified", "Wed, 25 Sep 2013 14:36:52 GMT")
        self.end_headers()
        try:
            sent = content[:until]
            for piece in range(start, len(sent), 2**20):
                time.sleep(self.site.pause)
                self.wfile.write(sent[piece : piece + 2**20])
            self.wfile.flush()
        except OSError:  # the client wanted the headers only
            self.close_connection = True
        if stall:
            self.site.closing.wait()
        if until is not None:
            self.close_connection = True

    def take_upload(self) -> None:
        token = urlsplit(self.path).path.rsplit("/", 1)[-1]
        content_range = self.headers.get("Content-Range", "")
        have = self.site.uploads.get(token, b"")
        if content_range.startswith("bytes */"):
            complete = token in self.site.uploads
            self.answer(200 if complete else 308, b"", {"Range": f"bytes=0-{len(have) - 1}"})
            return
        start = int(re.findall(r"\d+", content_range)[0]) if content_range else 0
        self.site.uploads[token] = have[:start] + self.body
        self.answer(200, b"")

    # -- API

    def dispatch_api(self) -> None:
        if self.method == "IntrospectToken":
            self.introspect_token()
        elif not self.is_authorised():
            self.answer_error(401, "Unauthenticated")
        else:
            method = re.sub(r"(?<!^)(?=[A-Z])", "_", self.method).lower()
            getattr(self, method, self.unknown_method)()

    def is_authorised(self) -> bool:
        basic = base64.b64encode(f"{USERNAME}:{KEY}".encode()).decode()
        return self.headers.get("Authorization") in (f"Basic {basic}", f"Bearer {TOKEN}")

    def unknown_method(self) -> None:
        self.answer_error(404, "no such method")

    def parsed(self, kind: str) -> Any:
        from kagglesdk.competitions.types import competition_api_service as types

        return getattr(types, kind).from_json(self.body)

    def made(self, kind: str, **values: Any) -> Any:
        from kagglesdk.competitions.types import competition_api_service as types

        value = getattr(types, kind)()
        for name, item in values.items():
            setattr(value, name, item)
        return value

    def introspect_token(self) -> None:
        from kagglesdk.security.types.oauth_service import (
            IntrospectTokenRequest,
            IntrospectTokenResponse,
        )

        response = IntrospectTokenResponse()
        response.active = IntrospectTokenRequest.from_json(self.body).token == TOKEN
        response.username = USERNAME if response.active else ""
        self.answer_object(response)

    def is_known(self, request: Any) -> bool:
        if request.competition_name == SLUG:
            return True
        self.answer_error(404, "no such competition")
        return False

    def list_data_files(self) -> None:
        request = self.parsed("ApiListDataFilesRequest")
        if not self.is_known(request):
            return
        names = sorted(self.site.files)
        start = int(request.page_token or 0)
        page = names[start : start + PAGE_SIZE]
        sizes = {name: len(content) for name, content in self.site.files.items()}
        sizes |= self.site.listed_sizes
        files = [
            self.made(
                "ApiDataFile",
                name=name,
                total_bytes=sizes[name],
                creation_date=datetime(2013, 9, 25),
            )
            for name in page
        ]
        rest = start + PAGE_SIZE
        token = str(rest) if rest < len(names) else ""
        self.answer_object(
            self.made("ApiListDataFilesResponse", files=files, next_page_token=token)
        )

    def download_data_file(self) -> None:
        request = self.parsed("ApiDownloadDataFileRequest")
        if not self.is_known(request):
            return
        if not self.site.rules_accepted:
            self.answer_error(403, "You must accept this competition's rules first")
            return
        name = request.file_name
        name = name if name in self.site.files else f"{name}.zip"
        if name not in self.site.files:
            self.answer_error(404, "no such file")
            return
        link = f"http://storage.kaggle.test/competitions/{name}?X-Goog-Signature={SIGNATURE}"
        self.answer(302, b"", {"Location": link})

    def start_submission_upload(self) -> None:
        request = self.parsed("ApiStartSubmissionUploadRequest")
        if not self.is_known(request):
            return
        token = f"blob{len(self.site.upload_names) + 1}"
        self.site.upload_names[token] = request.file_name
        url = f"http://upload.kaggle.test/{token}?upload_id={SIGNATURE}"
        self.answer_object(
            self.made("ApiStartSubmissionUploadResponse", token=token, create_url=url)
        )

    def create_submission(self) -> None:
        request = self.parsed("ApiCreateSubmissionRequest")
        if not self.is_known(request):
            return
        content = self.site.uploads.get(request.blob_file_tokens)
        if content is None:
            self.answer_error(400, "nothing was uploaded")
            return
        ref = 4000 + len(self.site.submissions) + 1
        self.site.submissions.append(
            {
                "ref": ref,
                "content": content,
                "file_name": self.site.upload_names[request.blob_file_tokens],
                "description": request.submission_description,
                "date": datetime.now(UTC).replace(tzinfo=None),
                "made_at": self.site.clock(),
                "polls": 0,
            }
        )
        self.answer_object(
            self.made(
                "ApiCreateSubmissionResponse", message="Successfully submitted to CIFAR-10", ref=ref
            )
        )

    def submission(self, entry: dict[str, Any]) -> Any:
        from kagglesdk.competitions.types.submission_status import SubmissionStatus

        value = self.made(
            "ApiSubmission",
            ref=entry["ref"],
            file_name=entry["file_name"],
            description=entry["description"],
            date=entry["date"],
            total_bytes=len(entry["content"]),
            status=SubmissionStatus.PENDING,
        )
        if entry["polls"] <= self.site.pending_polls:
            return value
        try:
            scores = score(entry["content"], self.site.solution)
        except ValueError as error:
            value.status = SubmissionStatus.ERROR
            value.error_description = str(error)
        else:
            value.status = SubmissionStatus.COMPLETE
            value.public_score, value.private_score = scores
        return value

    def get_submission(self) -> None:
        ref = self.parsed("ApiGetSubmissionRequest").ref
        for entry in self.site.submissions:
            if entry["ref"] == ref:
                entry["polls"] += 1
                self.answer_object(self.submission(entry))
                return
        self.answer_error(404, "no such submission")

    def list_submissions(self) -> None:
        if not self.is_known(self.parsed("ApiListSubmissionsRequest")):
            return
        latest = self.site.clock() - self.site.list_lag
        newest_first = [
            self.submission(entry | self.site.listed)
            for entry in reversed(self.site.submissions)
            if entry["made_at"] <= latest
        ]
        self.answer_object(self.made("ApiListSubmissionsResponse", submissions=newest_first))

    def get_leaderboard(self) -> None:
        """Answer with a page of the private leaderboard, if there is one and it is not declined.

        Late submissions never appear there.
        """
        request = self.parsed("ApiGetLeaderboardRequest")
        if not self.is_known(request):
            return
        boards = self.site.leaderboard
        part = "public" if request.override_public or "private" not in boards else "private"
        scores = boards.get(part, [])
        start = int(request.page_token or 0)
        end = start + min(request.page_size or PAGE_SIZE, PAGE_SIZE)
        teams = [
            self.made(
                "ApiLeaderboardSubmission",
                team_id=100 + number,
                team_name=f"team {number}",
                submission_date=datetime(2014, 10, 18),
                score=score,
            )
            for number, score in enumerate(scores[start:end], start)
        ]
        token = str(end) if end < len(scores) else ""
        self.answer_object(
            self.made("ApiGetLeaderboardResponse", submissions=teams, next_page_token=token)
        )

    def get_submission_limits(self) -> None:
        if self.site.left_today is None:
            self.unknown_method()
            return
        self.answer_object(self.made("ApiSubmissionLimits", num_allowed_now=self.site.left_today))


def score(content: bytes, solution: dict[int, tuple[str, str]]) -> tuple[str, str]:
    """Return the public and private score as text; raise a ValueError if there is none."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("The file is not plain text") from None
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    if not rows or not {"id", "label"} <= rows[0].keys():
        raise ValueError("Column names must be id,label")
    labels = {row["id"]: row["label"] for row in rows}
    if len(rows) != len(solution) or labels.keys() != {str(key) for key in solution}:
        raise ValueError("The ids are not those of the solution")
    if unknown := set(labels.values()) - LABELS:
        raise ValueError(f"Unknown label {min(unknown)}")
    shares = []
    for part in ("Public", "Private"):
        rows = [key for key, (_, usage) in solution.items() if usage == part]
        right = sum(labels[str(key)] == solution[key][0] for key in rows)
        shares.append(f"{right / len(rows) if rows else 0:.5f}")
    return shares[0], shares[1]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Print nothing about connections that the client closed."""


def start(site: KaggleSite) -> ThreadingHTTPServer:
    """Serve `site` on a free port of the loopback interface until `stop`."""
    server = Server(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": site}))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def stop(server: ThreadingHTTPServer, site: KaggleSite) -> None:
    site.closing.set()
    server.shutdown()
    server.server_close()
