import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from kaggle_cifar import competition
from kaggle_cifar.data import download
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.kaggle import client
from kaggle_cifar.kaggle.client import MalformedCredentialsError
from tests.helpers import kaggle_server as server
from tests.helpers.kaggle_server import KaggleSite
from tests.helpers.no_home import run_without_home

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


def fail(project: ProjectPaths, sleeper: Sleeper) -> str:
    """Download, expecting an error; return its message, which must hold no secret."""
    with pytest.raises(UserError) as caught:
        download.download(project, sleep=sleeper)
    message = str(caught.value)
    assert not [secret for secret in server.SECRETS if secret in message]
    return message


def assert_whole(project: ProjectPaths, site: KaggleSite) -> None:
    for name in competition.FILES:
        assert (project.raw / name).read_bytes() == site.files[name]
    assert not list(project.raw.glob(".kaggle-cifar.*.download"))


def test_the_timeout_that_is_told_is_the_one_that_was_used() -> None:
    error = client.explain(requests.ReadTimeout(), "Sending", (10.0, 600.0))
    assert "sent nothing for 600 s" in str(error)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (server.refuse(429, "slow down"), 'rate of requests (HTTP 429) ("slow down")'),
        (server.refuse(500, "oops"), 'having problems (HTTP 500) ("oops")'),
        (server.drop, "the connection to localhost broke off"),
    ],
)
def test_each_failed_try_of_a_call_is_told_with_its_reason(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    capfd: pytest.CaptureFixture[str],
    fault: server.Fault,
    reason: str,
) -> None:
    kaggle_site.api_faults["ListDataFiles"] = [fault] * 2
    download.download(project, sleep=sleeper)
    lines = [line for line in capfd.readouterr().out.splitlines() if "next try" in line]
    assert [reason in line for line in lines] == [True, True]
    assert [f"in {seconds:.0f} s" in line for seconds, line in zip((1, 2), lines, strict=True)]
    assert sleeper.slept == [1, 2]


def test_rules_not_accepted(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    kaggle_site.rules_accepted = False
    message = fail(project, sleeper)
    assert competition.RULES_PAGE in message
    assert "HTTP 403" in message
    assert sleeper.slept == []


def test_bad_key(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAGGLE_KEY", "FAKE-BAD-KEY")
    message = fail(project, sleeper)
    assert "does not accept the key from the variables KAGGLE_USERNAME and KAGGLE_KEY" in message
    assert client.SETTINGS_PAGE in message
    assert "FAKE-BAD-KEY" not in message


def test_bad_token_beats_a_good_key_and_is_named(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "FAKE-BAD-TOKEN")
    message = fail(project, sleeper)
    assert "access token from the variable KAGGLE_API_TOKEN" in message
    assert "used before any other key" in message
    assert "FAKE-BAD-TOKEN" not in message


def test_bad_token_alone(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "FAKE-BAD-TOKEN")
    assert "access token from the variable KAGGLE_API_TOKEN" in fail(project, sleeper)


@pytest.mark.parametrize("as_path", [False, True])
def test_a_token_opens_the_client(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    as_path: bool,
) -> None:
    monkeypatch.delenv("KAGGLE_KEY")
    file = tmp_path / "token"
    file.write_text(server.TOKEN + "\n")
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(file) if as_path else server.TOKEN)
    download.download(project, sleep=sleeper)
    assert_whole(project, kaggle_site)


def test_wrong_slug(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(competition, "SLUG", "cifar-11")
    assert "HTTP 404" in fail(project, sleeper)


def test_no_network(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://user:FAKE-PROXY-PASSWORD@127.0.0.1:9")
    message = fail(project, sleeper)
    assert "proxy" in message
    assert "FAKE-PROXY-PASSWORD" not in message
    monkeypatch.delenv("http_proxy")
    monkeypatch.setattr("kagglesdk.kaggle_http_client.get_endpoint", lambda _: "http://127.0.0.1:9")
    assert "127.0.0.1 could not be reached. Check the network" in fail(project, sleeper)
    assert sleeper.slept == []


def test_a_login_page_of_a_network(
    kaggle_site: KaggleSite, project: ProjectPaths, sleeper: Sleeper
) -> None:
    kaggle_site.api_faults["ListDataFiles"] = [server.page_instead]
    assert "the answer was not one of Kaggle's" in fail(project, sleeper)


def test_no_credentials_names_all_four_kinds(
    clean_home: Path, project: ProjectPaths, sleeper: Sleeper
) -> None:
    message = fail(project, sleeper)
    for words in (
        "KAGGLE_API_TOKEN",
        "KAGGLE_USERNAME",
        "kaggle.json",
        "kaggle auth login",
        "make demo",
        client.SETTINGS_PAGE,
    ):
        assert words in message


def test_credentials_are_found_in_the_clients_own_order(
    clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> str:
        credentials = client.find_credentials()
        return credentials.place if credentials else "nothing"

    assert found() == "nothing"
    folder = clean_home / ".config" / "kaggle"
    folder.mkdir(parents=True)
    (folder / "kaggle.json").write_text('{"username": "ada", "key": "k"}')
    if sys.platform.startswith("linux"):
        assert found() == str(folder / "kaggle.json")
    home = clean_home / ".kaggle"
    home.mkdir()
    (home / "credentials.json").write_text('{"refresh_token": "r"}')
    assert found() == str(home / "credentials.json")
    (home / "kaggle.json").write_text("{}")
    assert found() == str(home / "credentials.json")
    (home / "kaggle.json").write_text('{"username": "ada", "key": "k"}')
    assert found() == str(home / "kaggle.json")
    other = tmp_path / "other"
    other.mkdir()
    (other / "kaggle.json").write_text('{"username": "ada", "key": "k"}')
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(other))
    assert found() == str(other / "kaggle.json")
    monkeypatch.setenv("KAGGLE_USERNAME", "ada")
    monkeypatch.setenv("KAGGLE_KEY", "k")
    assert found() == "the variables KAGGLE_USERNAME and KAGGLE_KEY"
    (home / "access_token.txt").write_text("t")
    assert found() == str(home / "access_token.txt")
    (home / "access_token").write_text("t")
    assert found() == str(home / "access_token")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "t")
    assert found() == "the variable KAGGLE_API_TOKEN"


def test_a_kaggle_json_that_is_none_is_named(
    clean_home: Path, project: ProjectPaths, sleeper: Sleeper
) -> None:
    (clean_home / ".kaggle").mkdir()
    (clean_home / ".kaggle" / "kaggle.json").write_text("username: ada")
    assert "is there but holds no user name and key" in fail(project, sleeper)


def test_an_overlong_token_is_explained(
    clean_home: Path, project: ProjectPaths, sleeper: Sleeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", server.TOKEN * 20)
    assert "at most 255 characters" in fail(project, sleeper)


NO_SECRETS = ("a\nb", "a b", "a\x7fb", "schlüssel", "k\u202e")


@pytest.mark.parametrize("secret", [*NO_SECRETS, "a\x00b", 7])
def test_a_key_that_no_header_can_carry_is_refused(
    clean_home: Path, project: ProjectPaths, sleeper: Sleeper, secret: str | int
) -> None:
    file = clean_home / ".kaggle" / "kaggle.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"username": "ada", "key": secret}))
    with pytest.raises(MalformedCredentialsError) as caught:
        download.download(project, sleep=sleeper)
    assert caught.value.place == str(file)


@pytest.mark.parametrize("secret", NO_SECRETS)
@pytest.mark.parametrize("variable", ["KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"])
def test_a_variable_that_no_header_can_carry_is_refused(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    secret: str,
) -> None:
    monkeypatch.setenv(variable, secret)
    with pytest.raises(MalformedCredentialsError) as caught:
        download.download(project, sleep=sleeper)
    assert variable in caught.value.place
    assert secret not in str(caught.value)


def test_an_answer_that_the_client_does_not_know_is_no_proxys(kaggle_site: KaggleSite) -> None:
    answer = server.answer_json({"submissions": [{"ref": 1, "status": "FROZEN"}]})
    kaggle_site.api_faults["ListSubmissions"] = [answer]
    api = client.open_client()
    with pytest.raises(UserError, match=r"FROZEN.* Update the client") as caught:
        client.call(api.competition_submissions, competition.SLUG, doing="Listing")
    assert "proxy" not in str(caught.value)


def test_without_a_home_the_client_works_by_variables(
    kaggle_site: KaggleSite, project: ProjectPaths, tmp_path: Path
) -> None:
    done = run_without_home(tmp_path, "--data-dir", str(project.data), "download", "--no-extract")
    assert done.returncode == 0, done.stderr
    assert_whole(project, kaggle_site)


def test_a_fresh_process_logs_in_once(
    kaggle_site: KaggleSite, project: ProjectPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", server.TOKEN)
    subprocess.run([sys.executable, "-c", DOWNLOAD, str(project.data)], check=True)
    assert kaggle_site.count("IntrospectToken") == 1
    assert_whole(project, kaggle_site)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_kaggle_json_in_a_fresh_process_warns_when_others_can_read_it(
    kaggle_site: KaggleSite,
    clean_home: Path,
    project: ProjectPaths,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.delenv("KAGGLE_KEY")
    path = clean_home / ".kaggle" / "kaggle.json"
    path.parent.mkdir()
    path.write_text(f'{{"username": "{server.USERNAME}", "key": "{server.KEY}"}}')
    path.chmod(0o644)
    done = subprocess.run(
        [sys.executable, "-c", DOWNLOAD, str(project.data)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"chmod 600 {path}" in done.stdout
    assert "Your Kaggle API key" not in done.stdout
    assert_whole(project, kaggle_site)
    assert not [secret for secret in server.SECRETS if secret in done.stdout + done.stderr]


def test_a_login_that_stalls_ends_in_a_sentence(
    kaggle_site: KaggleSite,
    project: ProjectPaths,
    sleeper: Sleeper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", server.TOKEN)
    monkeypatch.setattr(client, "TIMEOUT", (1.0, 0.1))
    monkeypatch.setattr(client, "retry_delay", lambda *_: None)
    kaggle_site.api_faults["IntrospectToken"] = [server.stall] * 20
    assert "Logging in to Kaggle failed: localhost sent nothing" in fail(project, sleeper)
