import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from kaggle_cifar import competition
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.kaggle import client, session
from kaggle_cifar.kaggle.credentials import SETTINGS_PAGE
from kaggle_cifar.kaggle.explanations import KaggleError
from kaggle_cifar.kaggle.failures import retry_after
from kaggle_cifar.kaggle.signed_links import signed_link
from tests.helpers import kaggle_server as server
from tests.helpers.clocks import Sleeper
from tests.helpers.kaggle_server import KaggleSite
from tests.helpers.no_home import run_without_home

OPEN_CLIENT = """
from kaggle_cifar.kaggle.client import open_client
api = open_client()
print(len(api.competition_list_files("cifar-10").files), "files")
"""


def list_files(sleeper: Sleeper | None = None) -> Any:
    api = client.open_client()
    return client.call(
        api.competition_list_files, competition.SLUG, doing="Listing", sleep=sleeper or Sleeper()
    )


def error_of_listing(sleeper: Sleeper | None = None) -> KaggleError:
    """Return the error of a call, which holds no secret."""
    with pytest.raises(KaggleError) as caught:
        list_files(sleeper)
    assert not [secret for secret in server.SECRETS if secret in str(caught.value)]
    return caught.value


# -- logging in


@pytest.mark.parametrize("as_path", [False, True])
def test_a_token_opens_the_client(
    kaggle_site: KaggleSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, as_path: bool
) -> None:
    monkeypatch.delenv("KAGGLE_KEY")
    file = tmp_path / "token"
    file.write_text(server.TOKEN + "\n")
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(file) if as_path else server.TOKEN)
    assert len(list_files().files) == 4


@pytest.mark.parametrize("has_good_key", [False, True])
def test_a_bad_token_is_named_even_if_there_is_a_good_key(
    kaggle_site: KaggleSite, monkeypatch: pytest.MonkeyPatch, has_good_key: bool
) -> None:
    if not has_good_key:
        monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "FAKE-BAD-TOKEN")
    error = error_of_listing()
    assert error.status == 401
    assert "access token from the variable KAGGLE_API_TOKEN" in str(error)
    assert "FAKE-BAD-TOKEN" not in str(error)


def test_a_bad_key_is_named_without_its_value(
    kaggle_site: KaggleSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_KEY", "FAKE-BAD-KEY")
    error = error_of_listing()
    assert error.status == 401
    assert "key from the variables KAGGLE_USERNAME and KAGGLE_KEY" in str(error)
    assert SETTINGS_PAGE in str(error)
    assert "FAKE-BAD-KEY" not in str(error)


def test_a_login_that_stalls_times_out(
    kaggle_site: KaggleSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", server.TOKEN)
    monkeypatch.setattr(session, "TIMEOUT", (1.0, 0.1))
    monkeypatch.setattr(client, "retry_delay", lambda *_: None)
    kaggle_site.api_faults["IntrospectToken"] = [server.stall]
    with pytest.raises(KaggleError, match="Logging in to Kaggle failed: localhost sent nothing"):
        client.open_client()


@pytest.mark.slow
def test_a_new_process_logs_in_once(
    kaggle_site: KaggleSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", server.TOKEN)
    done = subprocess.run(
        [sys.executable, "-c", OPEN_CLIENT], check=True, capture_output=True, text=True
    )
    assert done.stdout == "4 files\n"
    assert kaggle_site.count("IntrospectToken") == 1


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_new_process_prints_only_its_own_warning(
    kaggle_site: KaggleSite, clean_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.delenv("KAGGLE_KEY")
    path = clean_home / ".kaggle" / "kaggle.json"
    path.parent.mkdir()
    path.write_text(f'{{"username": "{server.USERNAME}", "key": "{server.KEY}"}}')
    path.chmod(0o644)
    done = subprocess.run([sys.executable, "-c", OPEN_CLIENT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    warning, files = done.stdout.splitlines()
    assert f"chmod 600 {path}" in warning
    assert files == "4 files"
    assert not [secret for secret in server.SECRETS if secret in done.stdout + done.stderr]


@pytest.mark.slow
def test_the_client_works_without_a_home(
    kaggle_site: KaggleSite, project: ProjectPaths, tmp_path: Path
) -> None:
    done = run_without_home(tmp_path, "--data-dir", str(project.data), "download", "--no-extract")
    assert done.returncode == 0, done.stderr
    for name in competition.FILES:
        assert (project.raw / name).read_bytes() == kaggle_site.files[name]


# -- calls


def test_no_class_of_requests_is_patched(kaggle_site: KaggleSite) -> None:
    send = HTTPAdapter.send
    api = client.open_client()
    client.call(lambda: None, doing="Doing nothing")
    with api.build_kaggle_client() as kaggle:
        assert HTTPAdapter.send is send
        adapter = kaggle.http_client()._session.get_adapter("https://www.kaggle.com")
    assert isinstance(adapter, session.TimeoutAdapter)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (server.refuse(429, "slow down"), 'rate of requests (HTTP 429) ("slow down")'),
        (server.refuse(500, "oops"), 'having problems (HTTP 500) ("oops")'),
        (server.drop, "the connection to localhost was lost"),
    ],
)
def test_each_failed_attempt_is_printed_with_its_reason(
    kaggle_site: KaggleSite, capfd: pytest.CaptureFixture[str], fault: server.Fault, reason: str
) -> None:
    kaggle_site.api_faults["ListDataFiles"] = [fault] * 2
    sleeper = Sleeper()
    list_files(sleeper)
    lines = capfd.readouterr().out.splitlines()
    assert [reason in line for line in lines] == [True, True]
    assert [f"in {seconds} s" in line for seconds, line in zip((1, 2), lines, strict=True)]
    assert sleeper.slept == [1, 2]


def test_attempts_end(kaggle_site: KaggleSite) -> None:
    kaggle_site.api_faults["ListDataFiles"] = [server.refuse(503)] * 20
    sleeper = Sleeper()
    assert error_of_listing(sleeper).status == 503
    assert len(sleeper.slept) == client.ATTEMPTS - 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("42", 42.0), ("-1", 0.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None), ("", None)],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    response = requests.Response()
    response.headers["Retry-After"] = value
    assert retry_after(requests.HTTPError(response=response)) == seconds


def test_rules_that_are_not_accepted_are_not_retried(kaggle_site: KaggleSite) -> None:
    kaggle_site.rules_accepted = False
    sleeper = Sleeper()
    api = client.open_client()
    with pytest.raises(KaggleError) as caught:
        client.call(signed_link, api, "train.7z", doing="Downloading", sleep=sleeper)
    assert caught.value.status == 403
    assert competition.RULES_PAGE in str(caught.value)
    assert sleeper.slept == []


def test_an_unknown_competition_is_not_found(
    kaggle_site: KaggleSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(competition, "SLUG", "cifar-11")
    assert error_of_listing().status == 404


def test_a_refused_proxy_is_named_without_its_password(
    kaggle_site: KaggleSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://user:FAKE-PROXY-PASSWORD@127.0.0.1:9")
    sleeper = Sleeper()
    message = str(error_of_listing(sleeper))
    assert "Check the environment variables http_proxy" in message
    assert "FAKE-PROXY-PASSWORD" not in message
    assert sleeper.slept == []


def test_a_host_that_cannot_be_reached_is_named(
    kaggle_site: KaggleSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("http_proxy")
    monkeypatch.setattr("kagglesdk.kaggle_http_client.get_endpoint", lambda _: "http://127.0.0.1:9")
    sleeper = Sleeper()
    assert "127.0.0.1 could not be reached. Check the network" in str(error_of_listing(sleeper))
    assert sleeper.slept == []


def test_a_login_page_of_a_network_is_no_answer_of_kaggle(kaggle_site: KaggleSite) -> None:
    kaggle_site.api_faults["ListDataFiles"] = [server.page_instead]
    assert "did not come from Kaggle's API" in str(error_of_listing())


def test_an_answer_unknown_to_the_client_asks_for_an_update(kaggle_site: KaggleSite) -> None:
    answer = server.answer_json({"submissions": [{"ref": 1, "status": "FROZEN"}]})
    kaggle_site.api_faults["ListSubmissions"] = [answer]
    api = client.open_client()
    with pytest.raises(UserError, match=r"FROZEN.*pip install --upgrade kaggle") as caught:
        client.call(api.competition_submissions, competition.SLUG, doing="Listing")
    assert "proxy" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (requests.exceptions.SSLError(), "no secure connection to Kaggle"),
        (requests.ConnectTimeout(), "did not answer within 10 s"),
        (requests.ReadTimeout(), "sent nothing for 600 s"),
        (requests.exceptions.ContentDecodingError(), "could not be decompressed"),
        (SystemExit(1), "does not accept the credentials"),
        (RuntimeError("odd"), "RuntimeError: odd"),
    ],
)
def test_an_error_is_explained(clean_home: Path, error: BaseException, words: str) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(KaggleError, match=words):
        client.call(fail, doing="Sending", timeout=(10.0, 600.0), attempts=1)
