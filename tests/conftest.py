"""Fixtures: a site that stands in for Kaggle, and an environment that leads there only."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from kaggle_cifar import advice, competition
from kaggle_cifar.files import ProjectPaths
from tests.helpers import kaggle_server
from tests.helpers.archives import random_archive
from tests.helpers.kaggle_server import KaggleSite
from tests.helpers.small_data import IDS, ROWS, text_of
from tests.helpers.wheel import build_wheel, install_wheel

# Read once when the client is imported: no test may ever speak to the real site.
os.environ["KAGGLE_API_ENVIRONMENT"] = "LOCALHOST"
# Read once when Ray is imported: it writes no token to the home folder and reports no usage.
os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")

CREDENTIAL_VARIABLES = (
    "KAGGLE_API_TOKEN",
    "KAGGLE_USERNAME",
    "KAGGLE_KEY",
    "KAGGLE_CONFIG_DIR",
    "KAGGLE_KERNEL_RUN_TYPE",
    "XDG_CONFIG_HOME",
)
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY")

# A busy machine must not fail a test.
hypothesis.settings.register_profile("without deadline", deadline=None)
hypothesis.settings.load_profile("without deadline")


@pytest.fixture(autouse=True)
def command_line_words() -> None:
    """Messages in the words of the command line, also after a test has used the API."""
    advice.use_python_words(False)


@pytest.fixture(scope="session")
def competition_files() -> dict[str, bytes]:
    """The four files of a tiny competition; the archives hold no real images."""
    rng = random.Random(0)
    labels = ("cat", "dog", "ship", "frog")
    files = {
        "trainLabels.csv": "id,label\n" + "".join(f"{i},{labels[i % 4]}\n" for i in range(1, 31)),
        "sampleSubmission.csv": "id,label\n" + "".join(f"{i},cat\n" for i in range(1, 41)),
    }
    contents = {name: text.encode() for name, text in files.items()}
    for split in ("train", "test"):
        contents[f"{split}.7z"] = random_archive(split, rng)
    return contents


@pytest.fixture
def clean_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home without credentials, for this process and its children."""
    home = tmp_path / "home"
    home.mkdir()
    for name in (*CREDENTIAL_VARIABLES, *PROXY_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    return home


@pytest.fixture
def kaggle_site(
    clean_home: Path, monkeypatch: pytest.MonkeyPatch, competition_files: dict[str, bytes]
) -> Iterator[KaggleSite]:
    """A site with a tiny competition, reached with a good key by this process and its children."""
    site = KaggleSite(files=dict(competition_files))
    parts = ("Public", "Private", "Ignored")
    site.solution = {i: (("cat", "dog")[i % 2], parts[i % 3]) for i in IDS}
    server = kaggle_server.start(site)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("KAGGLE_USERNAME", kaggle_server.USERNAME)
    monkeypatch.setenv("KAGGLE_KEY", kaggle_server.KEY)
    yield site
    kaggle_server.stop(server, site)


@pytest.fixture
def project(tmp_path: Path) -> ProjectPaths:
    return ProjectPaths(tmp_path / "data", tmp_path / "runs", tmp_path / "submissions")


@pytest.fixture
def csv(tmp_path: Path, project: ProjectPaths) -> Path:
    """A valid submission for the site's competition."""
    project.raw.mkdir(parents=True)
    sample = text_of([f"{i},cat" for i in IDS])
    (project.raw / competition.SAMPLE_SUBMISSION).write_text(sample)
    path = tmp_path / "submissions" / "model3.csv"
    path.parent.mkdir()
    path.write_text(text_of(ROWS))
    return path


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def wheel_scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment in which the wheel is installed."""
    return install_wheel(wheel, tmp_path_factory.mktemp("environment"))
