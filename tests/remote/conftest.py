"""A drawn competition, a run of it, and a stand-in for Kaggle that has sessions for it.

The stand-in is tests/helpers/kaggle_kernels.py. Nothing here has run on kaggle.com.
"""

from pathlib import Path

import pytest

from kaggle_cifar.competition import FILES, SLUG
from kaggle_cifar.data.extract import extract
from kaggle_cifar.data.synthetic import SOLUTION, draw_sample
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.prediction.predict import predict
from kaggle_cifar.submission.score import read_solution
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.train import train
from tests.helpers import kaggle_server
from tests.helpers.kaggle_kernels import Kernel, KernelHost
from tests.helpers.kaggle_server import KaggleSite
from tests.helpers.small_data import project_in
from tests.remote.kaggle_runs import OPTIONS, RECIPE, leave_run


@pytest.fixture(scope="session")
def local(tmp_path_factory) -> tuple[ProjectPaths, Run]:
    """A drawn competition, extracted, and the run that this machine trains on it."""
    project = project_in(tmp_path_factory.mktemp("local"))
    draw_sample(project.raw, seed=5, train_count=120, test_count=110)
    extract(project)
    run = train(project, RECIPE, "model1", OPTIONS)
    predict(project, [run])
    return project, run


@pytest.fixture
def site(kaggle_site: KaggleSite, tmp_path: Path, local) -> KaggleSite:
    """The site with the drawn competition, mounted as archives; sessions really run."""
    raw = local[0].raw
    kaggle_site.kernels.folder = tmp_path / "kernels"

    def mount(inputs: Path) -> None:
        (inputs / SLUG).mkdir()
        for name in FILES:
            (inputs / SLUG / name).symlink_to(raw / name)

    kaggle_site.kernels.mount = mount
    kaggle_site.solution = dict.fromkeys(range(1, 111), ("cat", "Ignored"))
    for image_id, label, usage in read_solution(raw / SOLUTION):
        kaggle_site.solution[image_id] = (label, usage.title())
    return kaggle_site


@pytest.fixture
def played(site, local) -> KaggleSite:
    """The site with sessions that end at once: they leave the run that was trained here."""

    def run(host: KernelHost, session: Kernel) -> None:
        session.log("Epoch 4/4\n")
        leave_run(local[1], session)
        session.end()

    site.kernels.run = run
    return site


@pytest.fixture(autouse=True)
def no_secret_in_output(capfd):
    yield
    output = "".join(capfd.readouterr())
    assert not [secret for secret in kaggle_server.SECRETS if secret in output]
