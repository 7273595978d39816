import contextlib
import errno
import io
import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner

from kaggle_cifar import competition, files
from kaggle_cifar.cli import cli
from kaggle_cifar.data import download, extract, verification
from kaggle_cifar.data.archive import UnsupportedMethodError
from kaggle_cifar.data.download import DamagedTwiceError, OtherSourceError
from kaggle_cifar.data.transfer import TransferError, size_of
from kaggle_cifar.errors import DiskFullError, UserError
from kaggle_cifar.files import BusyError, ProjectPaths
from kaggle_cifar.kaggle import client, session
from kaggle_cifar.kaggle.signed_links import CHUNK_SIZE
from kaggle_cifar.ownership import ForeignPathError
from tests.helpers import kaggle_server as server
from tests.helpers.archives import images, pack, png, random_archive
from tests.helpers.kaggle_server import KaggleSite
from tests.helpers.kills import run_and_kill

E = TypeVar("E", bound=UserError)

DOWNLOAD = """
import sys
from pathlib import Path
from kaggle_cifar.data.download import download
from kaggle_cifar.files import ProjectPaths
download(ProjectPaths(data=Path(sys.argv[1])), sleep=lambda seconds: None)
"""


class Sleeper:
    """Sleeps nowhere and remembers how long it should have."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def sleeper() -> Sleeper:
    return Sleeper()


@pytest.fixture(autouse=True)
def no_secret_anywhere(capfd: pytest.CaptureFixture[str], project: ProjectPaths) -> Iterator[None]:
    """Search all that is printed and written; a test that reads the output asserts on its own."""
    yield
    output = "".join(capfd.readouterr())
    assert not [secret for secret in server.SECRETS if secret in output]
    written = [path.read_bytes() for path in project.data.rglob("*") if path.is_file()]
    secrets = [secret.encode() for secret in server.SECRETS]
    assert not [secret for secret in secrets if any(secret in content for content in written)]


def failure(project: ProjectPaths, sleeper: Sleeper, expected: type[E]) -> E:
    """Download, expecting an error; return it. Its message must hold no secret."""
    with pytest.raises(expected) as caught:
        download.download(project, sleep=sleeper)
    assert not [secret for secret in server.SECRETS if secret in str(caught.value)]
    return caught.value


def fail(project: ProjectPaths, sleeper: Sleeper) -> str:
    """Download, expecting an error; return its message, which must hold no secret."""
    return str(failure(project, sleeper, UserError))


def assert_whole(project: ProjectPaths, site: KaggleSite) -> None:
    for name in competition.FILES:
        assert (project.raw / name).read_bytes() == site.files[name]
    assert not list(project.raw.glob(".kaggle-cifar.*.download"))


def only_archive(site: KaggleSite, project: ProjectPaths) -> bytes:
    """Leave only train.7z to be downloaded; return its content."""
    project.raw.mkdir(parents=True)
    for name in competition.FILES:
        if name != "train.7z":
            (project.raw / name).write_bytes(site.files[name])
    return site.files["train.7z"]


def test_download_fetches_the_four_files(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    capfd: pytest.CaptureFixture[str],
) -> None:
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)
    assert "train.7z: downloaded and verified" in capfd.readouterr().out


def test_second_download_sends_no_request(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    download.download(project, sleep=sleeper)
    capfd.readouterr()
    kaggle_site.requests.clear()
    monkeypatch.setattr(download, "verify", lambda *_: pytest.fail("verified again"))
    download.download(project, sleep=sleeper)
    assert kaggle_site.requests == []
    assert capfd.readouterr().out.count("already downloaded and verified") == 4


def test_list_of_files_may_have_many_pages(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    kaggle_site.files |= {f"a{number}.txt": b"x" for number in range(45)}
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)
    assert kaggle_site.count("ListDataFiles") == 3


@pytest.mark.parametrize("status", [500, 429])
def test_download_continues_without_list_of_files(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper, status: int
) -> None:
    kaggle_site.api_faults["ListDataFiles"] = [server.refuse(status)] * client.ATTEMPTS
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)


def listed(site: KaggleSite, sizes: dict[str, Any]) -> server.Fault:
    files = [{"name": name, "totalBytes": sizes.get(name)} for name in site.files]
    return server.answer_json({"files": files})


def test_listed_size_may_be_text(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    sizes = {name: str(len(content)) for name, content in kaggle_site.files.items()}
    kaggle_site.api_faults["ListDataFiles"] = [listed(kaggle_site, sizes)]
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)
    kaggle_site.api_faults["ListDataFiles"] = [listed(kaggle_site, {"test.7z": str(10**18)})]
    (project.raw / "test.7z").unlink()
    assert failure(project, sleeper, DiskFullError).path == project.raw


@pytest.mark.parametrize("size", ["", "many", "-5", -5, 1.5, None, [], {}, True])
def test_invalid_listed_size_is_ignored(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper, size: Any
) -> None:
    only_archive(kaggle_site, project)
    kaggle_site.api_faults["ListDataFiles"] = [listed(kaggle_site, {"train.7z": size})]
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)


@pytest.mark.parametrize("name_of_member", ["trainLabels.csv", "folder/trainLabels.csv"])
@pytest.mark.parametrize("served_as", ["trainLabels.csv.zip", "trainLabels.csv"])
def test_zipped_file_is_unzipped(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    served_as: str,
    name_of_member: str,
) -> None:
    content = kaggle_site.files.pop("trainLabels.csv")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name_of_member, content)
    kaggle_site.files[served_as] = buffer.getvalue()
    download.download(project, sleep=sleeper)
    assert (project.raw / "trainLabels.csv").read_bytes() == content


def test_broken_zip_is_refused(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    kaggle_site.files["trainLabels.csv"] = b"PK\x03\x04" + b"x" * 100
    assert failure(project, sleeper, DamagedTwiceError).name == "trainLabels.csv"
    assert not (project.raw / "trainLabels.csv").exists()


# -- interruptions


def test_download_resumes_after_many_cuts(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    content = only_archive(kaggle_site, project)
    positions = range(20_000, len(content), 12_000)
    kaggle_site.get_faults = [server.cut_at(positions[0])]
    kaggle_site.range_faults = [server.cut_at(position) for position in positions[1:]]
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)
    starts = [int(r.split("=")[1].strip("-")) for r in kaggle_site.requests if "bytes=" in r]
    assert starts == sorted(starts)
    assert len(starts) == len(positions)


@pytest.mark.parametrize("seed", range(5))
def test_download_resumes_after_cuts_at_random_bytes(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper, seed: int
) -> None:
    content = only_archive(kaggle_site, project)
    rng = random.Random(seed)

    def cut(handler: server.Handler) -> None:
        start = handler.range_start()
        handler.answer_file(until=rng.randint(start, min(start + 60_000, len(content))))

    kaggle_site.get_faults = [server.cut_at(rng.randint(20_000, 60_000))]
    kaggle_site.range_faults = [cut] * (client.ATTEMPTS - 2)
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)
    assert kaggle_site.count("GET train.7z bytes=") >= 3


@pytest.mark.parametrize("is_size_listed", [True, False])
@pytest.mark.parametrize(
    "fault",
    [
        server.cut_without_length(100_000),
        server.compress,
        server.redirect_in_a_circle,
        server.page_instead,
        server.wrong_bytes,
        server.drop,
        server.refuse(403, "link expired"),
        server.refuse(429, Retry_After="7"),
        server.refuse(500),
    ],
)
def test_download_survives_any_answer_to_first_request(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    fault: server.Fault,
    is_size_listed: bool,
) -> None:
    only_archive(kaggle_site, project)
    if not is_size_listed:
        kaggle_site.listed_sizes["train.7z"] = 0
    kaggle_site.get_faults = [fault]
    with contextlib.suppress(UserError):
        download.download(project, sleep=sleeper)
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)


@pytest.mark.parametrize("error", [-5, 5])
def test_archive_may_differ_from_its_listed_size(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper, error: int
) -> None:
    content = only_archive(kaggle_site, project)
    kaggle_site.listed_sizes["train.7z"] = len(content) + error
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)
    assert kaggle_site.count("GET train.7z") == 1


def test_bytes_after_end_of_archive_are_harmless(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    content = only_archive(kaggle_site, project)
    kaggle_site.get_faults = [server.send_more]
    download.download(project, sleep=sleeper)
    assert (project.raw / "train.7z").read_bytes() == content + bytes(1_000)


def test_redirect_loop_is_refused(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    only_archive(kaggle_site, project)
    kaggle_site.get_faults = [server.redirect_in_a_circle] * 300
    failure(project, sleeper, UserError)
    assert not (project.raw / "train.7z").exists()


def test_failed_download_resumes_in_next_run(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    only_archive(kaggle_site, project)
    kaggle_site.get_faults = [server.cut_at(100_000)]
    kaggle_site.range_faults = [server.drop] * client.ATTEMPTS
    error = failure(project, sleeper, TransferError)
    assert (error.name, error.kept) == ("train.7z", 98_304)
    assert not (project.raw / "train.7z").exists()
    kaggle_site.requests.clear()
    kaggle_site.range_faults.clear()
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)
    assert kaggle_site.count("GET train.7z bytes=98304-") == 1


@pytest.mark.parametrize(
    "fault",
    [
        server.ignore_range,
        server.wrong_offset,
        server.foreign_etag,
        server.wrong_bytes,
        server.page_instead,
        server.error_of_missing_length(500),
        server.error_of_missing_length(403),
        server.refuse(416),
        server.refuse(403, "link expired"),
        server.refuse(429, Retry_After="7"),
        server.drop,
    ],
)
def test_download_survives_any_answer_to_resumed_request(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    fault: server.Fault,
    capfd: pytest.CaptureFixture[str],
) -> None:
    only_archive(kaggle_site, project)
    kaggle_site.get_faults = [server.cut_at(100_000)]
    kaggle_site.range_faults = [fault]
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)
    # Only the checksums show wrong bytes; everything else is noticed before it is appended.
    assert ("was damaged in the download" in capfd.readouterr().out) == (
        fault is server.wrong_bytes
    )


def test_partial_file_is_kept_after_server_error(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    only_archive(kaggle_site, project)
    kaggle_site.get_faults = [server.cut_at(100_000)]
    kaggle_site.range_faults = [server.error_of_missing_length(503)]
    download.download(project, sleep=sleeper)
    assert kaggle_site.count("GET train.7z bytes=98304-") == 2


def test_file_that_changes_during_download_is_fetched(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
) -> None:
    only_archive(kaggle_site, project)
    changed = random_archive("train", random.Random(1))

    def change(handler: server.Handler) -> None:
        handler.answer_file(until=100_000)
        kaggle_site.files["train.7z"] = changed

    kaggle_site.get_faults = [change]
    kaggle_site.listed_sizes["train.7z"] = len(changed)
    download.download(project, sleep=sleeper)
    assert (project.raw / "train.7z").read_bytes() == changed


@pytest.mark.parametrize("fault", [server.wrong_bytes, server.page_instead])
def test_file_that_stays_wrong_is_refused(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper, fault: server.Fault
) -> None:
    only_archive(kaggle_site, project)
    kaggle_site.get_faults = [fault] * 20
    error = failure(project, sleeper, DamagedTwiceError)
    assert error.name == "train.7z"
    assert "Delete it" not in str(error)
    assert not (project.raw / "train.7z").exists()
    assert not list(project.raw.glob(".kaggle-cifar.*.download"))
    kaggle_site.get_faults = []
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)


@pytest.mark.parametrize("position", [40, 5_000, 100_000, 199_000, -20])
def test_archive_with_one_wrong_bit_is_refused(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper, position: int
) -> None:
    content = bytearray(only_archive(kaggle_site, project))
    content[position] ^= 1
    kaggle_site.files["train.7z"] = bytes(content)
    assert failure(project, sleeper, DamagedTwiceError).name == "train.7z"
    assert not (project.raw / "train.7z").exists()


def test_csv_with_missing_rows_is_refused_by_its_size(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    content = kaggle_site.files["trainLabels.csv"]
    kaggle_site.listed_sizes["trainLabels.csv"] = len(content)
    kaggle_site.files["trainLabels.csv"] = content[: content.index(b"20,")]
    error = failure(project, sleeper, DamagedTwiceError)
    assert error.name == "trainLabels.csv"
    assert f"Kaggle lists {len(content)}" in str(error)


@pytest.mark.parametrize("name", ["trainLabels.csv", "sampleSubmission.csv"])
def test_page_instead_of_csv_is_refused(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper, name: str
) -> None:
    kaggle_site.files[name] = b"<html>sorry</html>"
    assert failure(project, sleeper, DamagedTwiceError).name == name


def test_damaged_file_is_renamed_and_downloaded_again(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    capfd: pytest.CaptureFixture[str],
) -> None:
    content = only_archive(kaggle_site, project)
    damaged = content[:-1000] + bytes(1000)
    (project.raw / "train.7z").write_bytes(damaged)
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)
    assert (project.raw / "train.7z.damaged").read_bytes() == damaged
    output = capfd.readouterr().out
    assert "train.7z is damaged and was renamed to" in output
    assert "Delete it" not in output


@pytest.mark.parametrize("others", [1, 3])
def test_renamed_damaged_file_replaces_no_other(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper, others: int
) -> None:
    only_archive(kaggle_site, project)
    for number in range(others):
        (project.raw / "train.7z").write_bytes(b"damaged %d" % number)
        download.download(project, sleep=sleeper)
    kept = [path.read_bytes() for path in project.raw.glob("train.7z.damaged*")]
    assert sorted(kept) == [b"damaged %d" % number for number in range(others)]
    (project.raw / "train.7z").write_bytes(b"damaged again")
    (project.raw / f"train.7z.damaged-{others + 1}").symlink_to("nowhere")
    download.download(project, sleep=sleeper)
    assert (project.raw / f"train.7z.damaged-{others + 2}").read_bytes() == b"damaged again"


# -- foreign files


def test_foreign_verified_json_is_kept(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    project.raw.mkdir(parents=True)
    (project.raw / "verified.json").write_text('{"mine": 1}')
    with pytest.raises(ForeignPathError) as caught:
        download.download(project, sleep=sleeper)
    assert caught.value.path == project.raw / "verified.json"
    assert (project.raw / "verified.json").read_text() == '{"mine": 1}'
    assert kaggle_site.requests == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes")
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_folder_or_pipe_with_name_of_file_is_kept(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper, make: Any
) -> None:
    project.raw.mkdir(parents=True)
    make(project.raw / "train.7z")
    with pytest.raises(ForeignPathError) as caught:
        download.download(project, sleep=sleeper)
    assert caught.value.path == project.raw / "train.7z"
    assert kaggle_site.requests == []


def test_file_that_appears_during_download_is_kept(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    only_archive(kaggle_site, project)

    def put_there(handler: server.Handler) -> None:
        (project.raw / "train.7z").write_bytes(b"mine")
        handler.answer_file()

    kaggle_site.get_faults = [put_there]
    with pytest.raises(ForeignPathError) as caught:
        download.download(project, sleep=sleeper)
    assert caught.value.path == project.raw / "train.7z"
    assert (project.raw / "train.7z").read_bytes() == b"mine"


def test_link_to_path_of_file_is_followed(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper, tmp_path: Path
) -> None:
    content = only_archive(kaggle_site, project)
    (tmp_path / "large disk").mkdir()
    (project.raw / "train.7z").symlink_to(tmp_path / "large disk" / "archive")
    download.download(project, sleep=sleeper)
    assert (project.raw / "train.7z").is_symlink()
    assert (tmp_path / "large disk" / "archive").read_bytes() == content


@pytest.mark.parametrize("name", ["train.7z", "trainLabels.csv"])
def test_unreadable_file_is_not_called_damaged(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    only_archive(kaggle_site, project)
    (project.raw / "train.7z").write_bytes(kaggle_site.files["train.7z"])

    def forbid(function: Any) -> Any:
        def read(path: Path, *arguments: Any, **options: Any) -> Any:
            if path.name == name:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return function(path, *arguments, **options)

        return read

    with monkeypatch.context() as patch:
        for function in ("open", "read_bytes"):
            patch.setattr(Path, function, forbid(getattr(Path, function)))
        assert "could not be read" in fail(project, sleeper)
    assert (project.raw / name).read_bytes() == kaggle_site.files[name]


def test_folder_of_public_cifar10_is_refused(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    files.write_record(project.raw / "source.json", download.SOURCE_KIND, {"source": "keras"})
    assert failure(project, sleeper, OtherSourceError).path == project.raw
    assert kaggle_site.requests == []


# -- archives that py7zr cannot decode


def change_method(header: Any) -> None:
    header.main_streams.unpackinfo.folders[0].coders[0]["method"] = b"\x0a"


def assert_unsupported(project: ProjectPaths, sleeper: Sleeper, method: str) -> None:
    with pytest.raises(UnsupportedMethodError) as caught:
        download.download(project, sleep=sleeper)
    assert caught.value.method == method


def test_archive_of_unknown_method_is_not_called_damaged(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    only_archive(kaggle_site, project)
    archive = pack(project.raw / "train.7z", {"train/1.png": b"1"}, change_method)
    content = archive.read_bytes()
    assert_unsupported(project, sleeper, "ARM64")
    assert archive.read_bytes() == content
    assert kaggle_site.requests == []


def test_archive_of_unknown_method_is_downloaded_once(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper, tmp_path: Path
) -> None:
    only_archive(kaggle_site, project)
    archive = pack(tmp_path / "train.7z", {"train/1.png": b"1"}, change_method)
    kaggle_site.files["train.7z"] = archive.read_bytes()
    for _ in range(2):
        assert_unsupported(project, sleeper, "ARM64")
    staged = download.staged_file(project.raw / "train.7z")
    assert staged.read_bytes() == kaggle_site.files["train.7z"]
    assert not (project.raw / "train.7z").exists()
    assert kaggle_site.count("GET") == 1


@pytest.mark.skipif(not shutil.which("7z"), reason="needs 7z")
def test_method_bcj2_is_named(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper, tmp_path: Path
) -> None:
    only_archive(kaggle_site, project)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "1.png").write_bytes(bytes(5_000))
    command = ["7z", "a", "-m0=BCJ2", str(project.raw / "train.7z"), "train"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert_unsupported(project, sleeper, "BCJ2")


def test_complete_staged_file_is_used(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    content = only_archive(kaggle_site, project)
    staged = download.staged_file(project.raw / "train.7z")
    staged.parent.mkdir()
    staged.write_bytes(content)
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)
    assert kaggle_site.count("GET") == 0


@pytest.mark.kill
def test_download_resumes_after_sigkill(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    content = only_archive(kaggle_site, project)
    process: subprocess.Popen[bytes]

    def kill(handler: server.Handler) -> None:
        handler.answer_file(until=150_000)
        while size_of(download.staged_file(project.raw / "train.7z")) < 100_000:
            pass
        process.kill()

    kaggle_site.get_faults = [kill]
    process = subprocess.Popen([sys.executable, "-c", DOWNLOAD, str(project.data)])
    assert process.wait() == -9
    assert not (project.raw / "train.7z").exists()
    kaggle_site.requests.clear()
    download.download(project, sleep=sleeper)
    assert (project.raw / "train.7z").read_bytes() == content
    assert kaggle_site.count("GET train.7z bytes=") == 1


def test_stalled_connection_times_out(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only_archive(kaggle_site, project)
    kaggle_site.get_faults = [server.stall_at(100_000)]
    kaggle_site.range_faults = [server.stall]
    monkeypatch.setattr(session, "TIMEOUT", (1.0, 0.3))
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)


def test_stalls_without_end_become_a_sentence(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only_archive(kaggle_site, project)
    monkeypatch.setattr(session, "TIMEOUT", (1.0, 0.2))
    kaggle_site.get_faults = [server.stall] * 20
    assert "storage.kaggle.test sent nothing for" in fail(project, sleeper)


# -- compressed answers, though uncompressed ones were requested


@pytest.mark.parametrize("is_size_listed", [True, False])
def test_compressed_answers_are_decoded(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper, is_size_listed: bool
) -> None:
    if not is_size_listed:
        kaggle_site.listed_sizes = dict.fromkeys(competition.FILES, 0)
    kaggle_site.get_faults = [server.compress] * 20
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)
    assert kaggle_site.count("GET") == 4
    assert sleeper.slept == []


@pytest.mark.parametrize("rest", [server.compress, server.compress_part])
def test_download_resumes_if_rest_is_compressed(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper, rest: server.Fault
) -> None:
    only_archive(kaggle_site, project)
    kaggle_site.get_faults = [server.cut_at(100_000), *[server.compress] * 20]
    kaggle_site.range_faults = [rest] * 20
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)


def test_cut_compressed_answer_is_requested_again(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    only_archive(kaggle_site, project)
    kaggle_site.get_faults = [server.cut_compressed] * 3
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)
    assert len(sleeper.slept) == 3


@pytest.mark.parametrize(
    ("encoding", "words"), [("rot13", "rot13"), ("gzip", "could not be decomp")]
)
def test_undecodable_encoding_is_named(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper, encoding: str, words: str
) -> None:
    only_archive(kaggle_site, project)
    kaggle_site.get_faults = [server.encode_unasked(encoding)] * 20
    assert words in fail(project, sleeper)
    assert not (project.raw / "train.7z").exists()


# -- what is printed of each attempt


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (server.refuse(429, "slow down", Retry_After="42"), 'HTTP 429) ("slow down")'),
        (server.refuse(500, "oops"), 'HTTP 500) ("oops")'),
        (server.cut_at(100_000), "the connection to Kaggle was lost"),
        (server.encode_unasked("rot13"), "rot13"),
    ],
)
def test_interrupted_download_prints_reason_and_delay(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    capfd: pytest.CaptureFixture[str],
    fault: server.Fault,
    reason: str,
) -> None:
    only_archive(kaggle_site, project)
    kaggle_site.get_faults = [fault]
    download.download(project, sleep=sleeper)
    [line] = [line for line in capfd.readouterr().out.splitlines() if reason in line]
    [seconds] = sleeper.slept
    assert f"in {seconds:.0f} s" in line


# -- refusals


def test_rate_limit_is_waited_for(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    kaggle_site.api_faults["DownloadDataFile"] = [server.refuse(429, Retry_After="42")]
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)
    assert sleeper.slept == [42.0]


def test_a_long_rate_limit_is_left_to_the_user(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    kaggle_site.api_faults["DownloadDataFile"] = [server.refuse(429, Retry_After="4000")]
    message = fail(project, sleeper)
    assert "HTTP 429" in message
    assert "4000 s" in message
    assert sleeper.slept == []


def test_trouble_at_kaggle_passes(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    kaggle_site.api_faults["ListDataFiles"] = [server.refuse(500)] * 2
    kaggle_site.api_faults["DownloadDataFile"] = [server.refuse(503)] * 3
    kaggle_site.get_faults = [server.refuse(500)] * 2
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)


def test_trouble_at_kaggle_that_stays(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    kaggle_site.api_faults["DownloadDataFile"] = [server.refuse(503)] * 20
    message = fail(project, sleeper)
    assert "HTTP 503" in message
    assert "later" in message
    assert len(sleeper.slept) == client.ATTEMPTS - 1


def test_links_that_are_always_refused(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    kaggle_site.get_faults = [server.refuse(403)] * 20
    message = fail(project, sleeper)
    assert "storage refused each link" in message
    assert competition.RULES_PAGE not in message


def test_full_disk_is_found_before_download(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    kaggle_site.listed_sizes["test.7z"] = 10**18
    assert failure(project, sleeper, DiskFullError).path == project.raw
    assert kaggle_site.count("GET") == 0


class FullFile:
    """A file on a disk that has room for some bytes and no more."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, content: bytes) -> int:
        self.room -= len(content)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self.file.write(content))

    def __enter__(self) -> "FullFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.mark.parametrize("room", [0, 1, 20_000, 150_000])
def test_disk_that_fills_up_keeps_partial_file(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    monkeypatch: pytest.MonkeyPatch,
    room: int,
) -> None:
    content = only_archive(kaggle_site, project)
    path_open = Path.open

    def full_disk(path: Path, mode: str = "r", *options: Any, **more: Any) -> Any:
        file = path_open(path, mode, *options, **more)
        return FullFile(file, room) if path.name == "train.7z" and mode == "ab" else file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full_disk)
        error = failure(project, sleeper, TransferError)
    assert "the disk is full" in str(error)
    assert (error.kept > 0) == (room > CHUNK_SIZE)
    assert sleeper.slept == []
    assert not (project.raw / "train.7z").exists()
    download.download(project, sleep=sleeper)
    assert (project.raw / "train.7z").read_bytes() == content


@pytest.mark.parametrize("step", ["unzipping", "sync", "renaming", "recording"])
def test_full_disk_at_later_step_is_reported(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    buffer = io.BytesIO()
    content = kaggle_site.files.pop("trainLabels.csv")
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("trainLabels.csv", content)
    kaggle_site.files["trainLabels.csv.zip"] = buffer.getvalue()

    def full_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    owner, name = {
        "unzipping": (shutil, "copyfileobj"),
        "sync": (files, "sync"),
        "renaming": (Path, "replace"),
        "recording": (Path, "write_bytes"),
    }[step]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full_disk)
        failure(project, sleeper, DiskFullError)
    found = [path.name for path in project.raw.iterdir() if not path.name.startswith(".")]
    assert found == (["trainLabels.csv"] if step == "recording" else [])
    download.download(project, sleep=sleeper)
    assert (project.raw / "trainLabels.csv").read_bytes() == content


def test_second_download_at_once_is_refused(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    with files.lock(project.raw, "download"):
        assert failure(project, sleeper, BusyError).path == project.raw


def test_two_processes_download_each_file_once(
    kaggle_site: KaggleSite, project: ProjectPaths
) -> None:
    kaggle_site.pause = 0.1
    both = [
        subprocess.Popen(
            [sys.executable, "-c", DOWNLOAD, str(project.data)], stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    errors = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both].count(0) >= 1, errors
    for process, error in zip(both, errors, strict=True):
        assert process.returncode == 0 or "Another download process" in error
    assert_whole(project, kaggle_site)
    for name in competition.FILES:
        assert kaggle_site.count(f"GET {name}") == 1


# -- verification by extraction


@pytest.fixture
def extractable(kaggle_site: KaggleSite, project: ProjectPaths) -> KaggleSite:
    """The site with archives that hold just the images that its CSV files name."""
    for split, count in (("train", 30), ("test", 40)):
        path = pack(
            project.data.parent / "packed" / f"{split}.7z", images(split, range(1, count + 1))
        )
        kaggle_site.files[f"{split}.7z"] = path.read_bytes()
    return kaggle_site


def download_and_extract(project: ProjectPaths, sleeper: Sleeper) -> None:
    download.download(project, extract=partial(extract.extract_split, project), sleep=sleeper)


def test_extracted_archive_is_not_decoded_twice(
    extractable: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(verification, "verify_archive", lambda *_: pytest.fail("decoded twice"))
    download_and_extract(project, sleeper)
    assert_whole(project, extractable)
    capfd.readouterr()
    extract.extract(project)
    assert capfd.readouterr().out.count("already extracted") == 2


def test_damaged_archive_is_found_by_extraction(
    extractable: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    capfd: pytest.CaptureFixture[str],
) -> None:
    whole = only_archive(extractable, project)
    cut = len(whole) // 2
    damaged = whole[:cut] + bytes(100) + whole[cut + 100 :]
    extractable.get_faults = [lambda handler: handler.answer_file(content=damaged, start=0)]
    download_and_extract(project, sleeper)
    assert "train.7z was damaged in the download" in capfd.readouterr().out
    assert_whole(project, extractable)
    assert len(list(project.images("train").iterdir())) == 30


def test_intact_archive_with_broken_image_is_kept(
    extractable: KaggleSite, project: ProjectPaths, sleeper: Sleeper, tmp_path: Path
) -> None:
    members = images("train", range(1, 31)) | {"train/7.png": png(7)[:-20]}
    extractable.files["train.7z"] = pack(tmp_path / "broken.7z", members).read_bytes()
    download_and_extract(project, sleeper)
    assert_whole(project, extractable)
    assert extractable.count("GET train.7z") == 1
    with pytest.raises(extract.BrokenMemberError) as caught:
        extract.extract(project)
    assert caught.value.member == "train/7.png"


def test_archive_that_cannot_be_extracted_is_verified(
    extractable: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    project.images("train").mkdir(parents=True)
    (project.images("train") / "1.png").write_bytes(b"mine")
    download_and_extract(project, sleeper)
    assert_whole(project, extractable)
    assert (project.images("train") / "1.png").read_bytes() == b"mine"


def test_archive_of_extracted_images_is_verified(
    extractable: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    download_and_extract(project, sleeper)
    whole = (project.raw / "train.7z").read_bytes()
    (project.raw / "train.7z").write_bytes(whole[:5_000] + bytes(1_000) + whole[6_000:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extract, "is_extracted", lambda *_: True)
        download_and_extract(project, sleeper)
    assert_whole(project, extractable)
    assert (project.raw / "train.7z.damaged").exists()


@pytest.mark.kill
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(
    ("where", "calls"),
    [
        *(("pathlib:Path.replace", calls) for calls in (1, 2, 6, 8, 9)),
        ("kaggle_cifar.data.download:move_verified", 4),
        ("kaggle_cifar.data.image_folder:StagedImages.write", 40),
        ("shutil:rmtree", 1),
    ],
)
def test_killed_download_is_completed_by_next_run(
    extractable: KaggleSite, project: ProjectPaths, sleeper: Sleeper, where: str, calls: int
) -> None:
    run_and_kill(where, calls, "--data-dir", str(project.data), "download")
    for name in competition.FILES:
        path = project.raw / name
        assert not path.exists() or path.read_bytes() == extractable.files[name]
    download_and_extract(project, sleeper)
    extract.extract(project)
    assert_whole(project, extractable)
    for split, count in (("train", 30), ("test", 40)):
        found = {path.name: path.read_bytes() for path in project.images(split).iterdir()}
        assert found == {f"{i}.png": png(i) for i in range(1, count + 1)}
    assert not [path for path in project.data.glob(".*") if path.name != ".kaggle-cifar.lock"]


def test_command_prints_once_what_it_extracted(
    extractable: KaggleSite, project: ProjectPaths
) -> None:
    def output() -> str:
        done = CliRunner().invoke(cli, ["--data-dir", str(project.data), "download"])
        assert done.exit_code == 0, done.output
        return done.output

    first, second = output(), output()
    assert first.count("Extracted") == 2
    assert "already extracted" not in first
    assert second.count("already downloaded and verified") == 4
    assert second.count("already extracted") == 2
