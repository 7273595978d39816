import json
import os
import sys
from pathlib import Path

import pytest

from kaggle_cifar.kaggle.credentials import (
    MalformedCredentialsError,
    NoCredentialsError,
    UnreadableCredentialsError,
    find_credentials,
    require_credentials,
)
from tests.helpers.kaggle_server import TOKEN

KEY = '{"username": "ada", "key": "k"}'
MALFORMED = ("a\nb", "a b", "a\x7fb", "schlüssel", "k\u202e")


def test_no_credentials_error_names_all_four_kinds(clean_home: Path) -> None:
    with pytest.raises(NoCredentialsError) as caught:
        require_credentials()
    message = str(caught.value)
    kinds = ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "kaggle.json", "kaggle auth login", "make demo")
    assert [kind for kind in kinds if kind not in message] == []


def test_credentials_are_found_in_the_clients_order(
    clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def place() -> str:
        credentials = find_credentials()
        return credentials.place if credentials else "nothing"

    assert place() == "nothing"
    folder = clean_home / ".config" / "kaggle"
    folder.mkdir(parents=True)
    (folder / "kaggle.json").write_text(KEY)
    if sys.platform.startswith("linux"):
        assert place() == str(folder / "kaggle.json")
    home = clean_home / ".kaggle"
    home.mkdir()
    (home / "credentials.json").write_text('{"refresh_token": "r"}')
    assert place() == str(home / "credentials.json")
    (home / "kaggle.json").write_text("{}")
    assert place() == str(home / "credentials.json")
    (home / "kaggle.json").write_text(KEY)
    assert place() == str(home / "kaggle.json")
    other = tmp_path / "other"
    other.mkdir()
    (other / "kaggle.json").write_text(KEY)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(other))
    assert place() == str(other / "kaggle.json")
    monkeypatch.setenv("KAGGLE_USERNAME", "ada")
    monkeypatch.setenv("KAGGLE_KEY", "k")
    assert place() == "the variables KAGGLE_USERNAME and KAGGLE_KEY"
    (home / "access_token.txt").write_text("t")
    assert place() == str(home / "access_token.txt")
    (home / "access_token").write_text("t")
    assert place() == str(home / "access_token")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "t")
    assert place() == "the variable KAGGLE_API_TOKEN"


def test_a_kaggle_json_without_a_key_is_named(clean_home: Path) -> None:
    path = clean_home / ".kaggle" / "kaggle.json"
    path.parent.mkdir()
    path.write_text("username: ada")
    with pytest.raises(NoCredentialsError) as caught:
        require_credentials()
    assert f"{path} holds no user name and key" in str(caught.value)


def test_an_overlong_token_is_explained(clean_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN * 20)
    with pytest.raises(UnreadableCredentialsError, match="at most 255 characters"):
        find_credentials()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_file_that_others_can_read_is_known(clean_home: Path) -> None:
    path = clean_home / ".kaggle" / "kaggle.json"
    path.parent.mkdir()
    path.write_text(KEY)
    path.chmod(0o644)
    assert require_credentials().readable_by_others
    path.chmod(0o600)
    assert not require_credentials().readable_by_others


@pytest.mark.parametrize("secret", [*MALFORMED, "a\x00b", 7])
def test_a_key_that_no_header_can_carry_is_refused(clean_home: Path, secret: str | int) -> None:
    path = clean_home / ".kaggle" / "kaggle.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"username": "ada", "key": secret}))
    with pytest.raises(MalformedCredentialsError) as caught:
        find_credentials()
    assert caught.value.place == str(path)


@pytest.mark.parametrize("secret", MALFORMED)
@pytest.mark.parametrize("variable", ["KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"])
def test_a_malformed_variable_is_refused_without_its_value(
    clean_home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, secret: str
) -> None:
    monkeypatch.setenv("KAGGLE_USERNAME", "ada")
    monkeypatch.setenv("KAGGLE_KEY", "k")
    monkeypatch.setenv(variable, secret)
    with pytest.raises(MalformedCredentialsError) as caught:
        find_credentials()
    assert variable in caught.value.place
    assert secret not in str(caught.value)
