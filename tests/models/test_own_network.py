"""Own networks: found, read, kept in a recipe, and run only if the user has named them."""

import dataclasses
import json
from pathlib import Path

import pytest

from kaggle_cifar import recipes
from kaggle_cifar.models import NetworkError, own_network
from kaggle_cifar.models.own_network import (
    ChangedNetworkError,
    UntrustedNetworkError,
    allow,
    read_source,
    require_allowed,
    with_own_network,
)
from kaggle_cifar.models.registry import digest_of
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.recipes import change_recipe, find_recipe
from kaggle_cifar.recipes.lookup import RecipeFileError
from tests.helpers.own_network import CODE, LINES, write_network

MODEL1 = recipes.model1()
KEPT = dataclasses.replace(MODEL1, name="mine", network="my_net.py", network_source=LINES)


@pytest.fixture(autouse=True)
def unknown(clean_home, monkeypatch, tmp_path):
    """A home and a process in which no network has been named, and an empty working directory."""
    monkeypatch.delenv(own_network.VARIABLE, raising=False)
    monkeypatch.setattr(own_network, "_allowed", set())
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def forget_process(monkeypatch):
    monkeypatch.setattr(own_network, "_allowed", set())


def write_recipe(folder, **changes):
    folder.mkdir(exist_ok=True)
    content = {**dataclasses.asdict(MODEL1), "name": "mine", "network": "my_net.py", **changes}
    (folder / "r.json").write_text(json.dumps(content))
    return str(folder / "r.json")


# Finding and reading


@pytest.mark.parametrize("folder", ["recipes", "work"])
def test_file_is_relative_to_the_recipe_or_working_directory(tmp_path, folder):
    write_network(tmp_path / folder)
    assert find_recipe(write_recipe(tmp_path / "recipes")) == KEPT


def test_file_beside_the_recipe_comes_first(tmp_path):
    write_network(tmp_path / "recipes")
    write_network(Path(), "build = other = 1")
    assert find_recipe(write_recipe(tmp_path / "recipes")).network_source == LINES


def test_file_may_be_in_another_folder(tmp_path):
    path = write_network(tmp_path / "networks")
    for name in (str(path), "../networks/my_net.py"):
        assert find_recipe(write_recipe(tmp_path / "recipes", network=name)) == KEPT


def test_set_takes_an_own_network_and_a_built_in_one_again():
    write_network(Path())
    changed = change_recipe(MODEL1, ["network=my_net.py", "network_options.units=4"])
    assert changed.name == "model1,network=my_net.py,network_options.units=4"
    assert (changed.network, changed.network_source) == ("my_net.py", LINES)
    assert change_recipe(changed, ["epochs=3"]).network_source == LINES
    write_network(Path(), CODE + "# changed\n")
    assert change_recipe(changed, ["network=my_net.py"]).network_source != LINES
    assert change_recipe(changed, ["network=model2"]).network_source is None


def test_module_is_found_by_its_dotted_name(tmp_path, monkeypatch):
    write_network(tmp_path / "site" / "my_package")
    (tmp_path / "site" / "my_package" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    found = with_own_network({"network": "my_package.my_net"}, [])
    assert found == {"network": "my_package.my_net", "network_source": LINES}


@pytest.mark.parametrize(
    "network", ["no_net.py", "no_package.my_net", "os.path.nothing", "..relative", "a..b", "sys.x"]
)
def test_missing_network_is_an_error(tmp_path, network):
    with pytest.raises(NetworkError) as caught:
        with_own_network({"network": network}, [tmp_path])
    assert (caught.value.network, caught.value.fault) == (network, "missing")


def test_folder_named_as_a_module_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "site" / "my_space" / "inner").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(NetworkError) as caught:
        with_own_network({"network": "my_space.inner"}, [])
    assert caught.value.fault == "missing"


def test_package_that_fails_on_import_is_an_error(tmp_path, monkeypatch):
    write_network(tmp_path / "site" / "broken_package", "raise SystemExit", "__init__.py")
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(NetworkError) as caught:
        with_own_network({"network": "broken_package.my_net"}, [])
    assert caught.value.fault == "missing"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"x = 1\ndef build(:\n", 2),
        (b"def build():\n\treturn 1\n        return 2\n", 3),
        (b"\xff\xfe", None),
        (b"x = 1\n", None),
        (b"#" * (own_network.LARGEST_FILE + 1), None),
        (b"build = " + b"(" * 5000, None),
    ],
)
def test_file_that_is_no_network_is_an_error(tmp_path, content, line):
    write_network(tmp_path / "r", "").write_bytes(content)
    with pytest.raises(RecipeFileError) as caught:
        find_recipe(write_recipe(tmp_path / "r"))
    error = caught.value.__cause__
    assert isinstance(error, NetworkError)
    assert (error.network, error.fault) == ("my_net.py", "file")
    assert line is None or error.line == line


def test_null_byte_in_a_file_is_an_error(tmp_path):
    path = write_network(tmp_path, "x = '\0'\n")
    with pytest.raises(NetworkError):
        read_source("my_net.py", path)


def test_folder_in_place_of_a_network_is_an_error(tmp_path):
    (tmp_path / "my_net.py").mkdir()
    with pytest.raises(ForeignPathError) as caught:
        with_own_network({"network": "my_net.py"}, [tmp_path])
    assert caught.value.path == tmp_path / "my_net.py"


@pytest.mark.parametrize(
    "code", ["def build(): ...", "build = make", "from a import make as build", "class build: ..."]
)
def test_build_may_be_defined_in_any_way(tmp_path, code):
    assert read_source("my_net.py", write_network(tmp_path, code)) == [code]


def test_source_ignores_byte_order_mark_and_line_ends(tmp_path):
    path = write_network(tmp_path, "")
    path.write_bytes(b"\xef\xbb\xbf" + CODE.replace("\n", "\r\n").encode())
    assert read_source("my_net.py", path) == LINES


# Whether the code may run


def test_code_from_elsewhere_is_refused(tmp_path):
    with pytest.raises(UntrustedNetworkError) as caught:
        find_recipe(write_recipe(tmp_path / "r", network_source=LINES))
    error = caught.value
    assert (error.network, error.path) == ("my_net.py", tmp_path / "r" / "r.json")
    assert error.sha256 == digest_of(LINES)
    assert f"{own_network.VARIABLE}={error.sha256}" in str(error)


def test_named_file_may_run_in_other_processes(tmp_path, monkeypatch, clean_home):
    write_network(tmp_path / "r")
    find_recipe(write_recipe(tmp_path / "r"))
    forget_process(monkeypatch)
    require_allowed("my_net.py", LINES, tmp_path)
    [note] = (clean_home / ".kaggle-cifar" / "networks").iterdir()
    assert (note.name, note.read_text()) == (digest_of(LINES), CODE)
    with pytest.raises(UntrustedNetworkError):
        require_allowed("my_net.py", [*LINES, "# changed"], tmp_path)


def test_variable_allows_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv(own_network.VARIABLE, f"{'0' * 64},{digest_of(LINES)}")
    assert find_recipe(write_recipe(tmp_path / "r", network_source=LINES)) == KEPT


@pytest.mark.parametrize("error", [RuntimeError("no home"), OSError("no home")])
def test_network_is_allowed_in_this_process_without_a_home(tmp_path, monkeypatch, error):
    def no_home():
        raise error

    monkeypatch.setattr(own_network, "notes_folder", no_home)
    with pytest.raises(UntrustedNetworkError):
        require_allowed("my_net.py", LINES, tmp_path)
    allow(LINES)
    require_allowed("my_net.py", LINES, tmp_path)


# Copies of a run's recipe


def test_kept_code_needs_no_file(tmp_path):
    allow(LINES)
    assert find_recipe(write_recipe(tmp_path / "r", network_source=LINES)) == KEPT


@pytest.mark.parametrize("folder", ["r", "work"])
def test_changed_file_differs_from_kept_code(tmp_path, folder):
    allow(LINES)
    path = write_network(tmp_path / folder)
    recipe = write_recipe(tmp_path / "r", network_source=LINES)
    assert find_recipe(recipe) == KEPT
    path.write_text(CODE + "# changed\n")
    with pytest.raises(ChangedNetworkError) as caught:
        find_recipe(recipe)
    assert (caught.value.network, caught.value.path) == ("my_net.py", Path(recipe))


def test_run_json_keeps_its_code_if_the_file_changes(tmp_path):
    allow(LINES)
    write_network(tmp_path / "work", CODE + "# changed\n")
    copy = Path(write_recipe(tmp_path / "r", network_source=LINES))
    run_json = copy.rename(copy.with_name("run.json"))
    assert find_recipe(str(run_json)) == KEPT
