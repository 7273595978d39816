import gzip
from pathlib import Path
from typing import Any

import pytest
import requests

from kaggle_cifar.kaggle import client, session
from kaggle_cifar.kaggle.failures import NotKaggleError, WrongRangeError
from kaggle_cifar.kaggle.signed_links import CHUNK_SIZE, download_link, signed_link, upload_file
from tests.helpers import kaggle_server as server
from tests.helpers.kaggle_kernels import Kernel
from tests.helpers.kaggle_server import KaggleSite

NAME = "train.7z"


@pytest.fixture
def api(kaggle_site: KaggleSite) -> Any:
    return client.open_client()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / NAME


def part_of(api: Any, site: KaggleSite, path: Path, position: int = 100_000) -> int:
    """Download up to a position, where the connection breaks; return the size of the part."""
    site.get_faults = [server.cut_at(position)]
    with pytest.raises(requests.RequestException):
        download_link(signed_link(api, NAME), path)
    return path.stat().st_size


def test_a_signed_link_is_followed_without_credentials(
    kaggle_site: KaggleSite, api: Any, path: Path
) -> None:
    link = signed_link(api, NAME)
    assert link.startswith("http://storage.kaggle.test/")
    positions: list[int] = []
    download_link(link, path, positions.append)  # the storage refuses any credentials
    content = kaggle_site.files[NAME]
    assert path.read_bytes() == content
    assert positions == [*range(0, len(content), CHUNK_SIZE), len(content)]
    assert list(path.parent.glob(f"{NAME}*")) == [path]


def test_a_page_instead_of_a_link_is_refused(kaggle_site: KaggleSite, api: Any) -> None:
    kaggle_site.api_faults["DownloadDataFile"] = [server.page_instead]
    with pytest.raises(NotKaggleError):
        signed_link(api, NAME)


def test_a_part_is_resumed_where_it_ends(kaggle_site: KaggleSite, api: Any, path: Path) -> None:
    size = part_of(api, kaggle_site, path)
    positions: list[int] = []
    download_link(signed_link(api, NAME), path, positions.append)
    assert path.read_bytes() == kaggle_site.files[NAME]
    assert positions[0] == size
    assert kaggle_site.requests[-1] == f"GET {NAME} bytes={size}-"


def test_a_file_that_changed_is_downloaded_from_its_start(
    kaggle_site: KaggleSite, api: Any, path: Path
) -> None:
    part_of(api, kaggle_site, path)
    kaggle_site.files[NAME] = bytes(200_000)
    download_link(signed_link(api, NAME), path)
    assert path.read_bytes() == bytes(200_000)


def test_a_file_without_a_validator_is_not_resumed(
    kaggle_site: KaggleSite, api: Any, path: Path
) -> None:
    path.write_bytes(b"of an unknown version")
    download_link(signed_link(api, NAME), path)
    assert path.read_bytes() == kaggle_site.files[NAME]
    assert kaggle_site.requests[-1] == f"GET {NAME}"


@pytest.mark.parametrize(
    "fault",
    [server.wrong_offset, server.foreign_etag, server.compress_part, server.page_instead],
)
def test_an_answer_that_is_not_the_rest_is_refused(
    kaggle_site: KaggleSite, api: Any, path: Path, fault: server.Fault
) -> None:
    size = part_of(api, kaggle_site, path)
    kaggle_site.range_faults = [fault]
    with pytest.raises(WrongRangeError):
        download_link(signed_link(api, NAME), path)
    assert path.read_bytes() == kaggle_site.files[NAME][:size]


@pytest.mark.parametrize("status", [403, 416, 500])
def test_an_error_is_not_appended_to_a_part(
    kaggle_site: KaggleSite, api: Any, path: Path, status: int
) -> None:
    size = part_of(api, kaggle_site, path)
    kaggle_site.range_faults = [server.error_of_missing_length(status)]
    with pytest.raises(requests.HTTPError) as caught:
        download_link(signed_link(api, NAME), path)
    assert caught.value.response.status_code == status
    assert path.stat().st_size == size
    download_link(signed_link(api, NAME), path)
    assert path.read_bytes() == kaggle_site.files[NAME]


def test_a_compressed_answer_is_decoded(kaggle_site: KaggleSite, api: Any, path: Path) -> None:
    kaggle_site.get_faults = [server.compress]
    download_link(signed_link(api, NAME), path)
    assert path.read_bytes() == kaggle_site.files[NAME]


def test_an_unknown_encoding_is_refused(kaggle_site: KaggleSite, api: Any, path: Path) -> None:
    kaggle_site.get_faults = [server.encode_unasked("rot13")]
    with pytest.raises(WrongRangeError, match="rot13"):
        download_link(signed_link(api, NAME), path)
    assert not path.exists()


def test_a_stalled_download_times_out(
    kaggle_site: KaggleSite, api: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "TIMEOUT", (1.0, 0.1))
    kaggle_site.get_faults = [server.stall]
    with pytest.raises(requests.ReadTimeout):
        download_link(signed_link(api, NAME), path)


def test_an_upload_has_its_retries(kaggle_site: KaggleSite, path: Path) -> None:
    path.write_bytes(b"content")
    kaggle_site.put_faults = [server.drop] * 2
    upload_file("http://upload.kaggle.test/token", path)
    assert kaggle_site.uploads == {"token": b"content"}
    kaggle_site.put_faults = [server.drop] * 3
    with pytest.raises(requests.ConnectionError):
        upload_file("http://upload.kaggle.test/token", path)
    assert kaggle_site.put_faults == []


# -- output of kernels


@pytest.fixture
def outputs(kaggle_site: KaggleSite) -> dict[str, bytes]:
    """The files that a kernel left, more than Kaggle lists on a page."""
    kernel = Kernel("outputs", None)
    kernel.files = {f"run/{number}.npy": b"%d" % number for number in range(45)}
    kaggle_site.kernels.all["outputs"] = kernel
    return kernel.files


def test_kernel_outputs_are_downloaded_by_their_names(
    kaggle_site: KaggleSite, api: Any, outputs: dict[str, bytes], tmp_path: Path
) -> None:
    compressed = gzip.compress(b"1")
    kaggle_site.get_faults = [
        lambda handler: handler.answer(200, compressed, {"Content-Encoding": "gzip"})
    ] * 2  # the client asks for a file, then `download_file` does
    api.kernels_output("ada/outputs", str(tmp_path), r"\A(?:run/1\.npy|run/44\.npy)\Z", True)
    assert (tmp_path / "run" / "1.npy").read_bytes() == b"1"
    assert (tmp_path / "run" / "44.npy").read_bytes() == b"44"
    assert len(list((tmp_path / "run").iterdir())) == 2


def test_a_kernel_output_outside_its_folder_is_refused(
    kaggle_site: KaggleSite, api: Any, outputs: dict[str, bytes], tmp_path: Path
) -> None:
    outputs["../escaped"] = b"x"
    with pytest.raises(ValueError, match="escaped"):
        api.kernels_output("ada/outputs", str(tmp_path / "output"), "escaped")
    assert not (tmp_path / "escaped").exists()
