"""Pushing a run to Kaggle: sent once, refused with advice, within the GPU quota."""

import shutil
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slugify import slugify

from kaggle_cifar import recipes
from kaggle_cifar.competition import SLUG
from kaggle_cifar.errors import UserError
from kaggle_cifar.remote import push
from kaggle_cifar.report import ledger
from kaggle_cifar.training.checkpoint import save_checkpoint
from kaggle_cifar.training.run import Run
from tests.helpers import kaggle_server
from tests.helpers.kaggle_kernels import Kernel, KernelHost
from tests.remote.kaggle_runs import leave_run, train


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ({"error": "Maximum weekly GPU quota reached."}, "quota reached. Run `kaggle-cifar doc"),
        ({"invalid_competition_sources": [SLUG]}, "Accept the rules at"),
        ({"invalid_kernel_sources": ["ada/other"]}, "ada/other"),
        ({"error": ""}, "gave no reason"),
    ],
)
def test_refused_push_leaves_nothing(played, project, refusal, words):
    played.kernels.refusal = refusal
    with pytest.raises(push.PushRefusedError, match=words):
        train(project)
    assert not list(project.runs.glob(".kaggle-cifar.remote/*"))


@pytest.mark.parametrize("status", [401, 409])
def test_push_refused_by_status_leaves_nothing(played, project, status):
    played.api_faults["SaveKernel"] = [kaggle_server.refuse(status, "The title is taken")]
    with pytest.raises(push.PushRefusedError):
        train(project)
    assert not list(project.runs.glob(".kaggle-cifar.remote/*"))
    train(project)


@pytest.mark.parametrize(
    "fault", [kaggle_server.drop, kaggle_server.lose_answer, kaggle_server.refuse(502)]
)
def test_push_with_a_lost_answer_is_sent_once(played, project, fault):
    played.api_faults["SaveKernel"] = [fault]
    with pytest.raises(UserError, match="may have arrived"):
        train(project)
    train(project)
    assert len(played.kernels.all) == 1


@pytest.mark.parametrize("refresh", ["2026-11-28T00:00:00Z", None])
def test_exhausted_quota_sends_nothing(played, project, refresh):
    played.kernels.gpu_hours, played.kernels.quota_refresh = (29.9, 30.0), refresh
    with pytest.raises(push.QuotaError) as caught:
        train(project)
    assert caught.value.left == pytest.approx(360)
    assert ("2026-11-28" in str(caught.value)) == bool(refresh)
    assert played.count("SaveKernel") == 0


def test_unknown_quota_is_ignored(played, project, capfd):
    played.kernels.gpu_hours = None
    train(project)
    assert "Continuing without it." in capfd.readouterr().out


def test_session_stops_before_the_quota_ends(played, project):
    played.kernels.gpu_hours = (28.0, 30.0)
    train(project)
    [pushed] = played.kernels.all.values()
    assert f'"seconds": {2 * 3600 - push.STOP_EARLY}' in pushed.request.text


@pytest.fixture
def unfinished(local, tmp_path) -> Run:
    """A run with a checkpoint, as a session leaves it that is stopped."""
    run = Run(tmp_path / "stopped" / "model1")
    shutil.copytree(local[1].folder, run.folder)
    run.metrics_file.unlink()
    save_checkpoint(run.checkpoint_file, {"epoch": 2, "step": 1}, {})
    return run


def test_refused_next_session_keeps_the_checkpoint(played, project, unfinished):
    def stop(host: KernelHost, session: Kernel) -> None:
        leave_run(unfinished, session, "stopped")
        host.refusal = {"error": "Maximum weekly GPU quota reached"}
        session.end()

    complete, played.kernels.run = played.kernels.run, stop
    with pytest.raises(push.PushRefusedError):
        train(project)
    assert "refused on Kaggle" in ledger.describe_runs(project)
    played.kernels.run = complete
    train(project)
    first, second = played.kernels.all.values()
    assert second.request.kernel_data_sources == [first.request.slug]


def test_killed_session_resumes_from_its_checkpoint(played, project, unfinished, capfd):
    complete = played.kernels.run

    def be_killed(host: KernelHost, session: Kernel) -> None:
        leave_run(unfinished, session)
        del session.files["output.json"]  # a killed session does not write it
        host.run = complete
        session.end("ERROR", "The session exceeded the time limit")

    played.kernels.run = be_killed
    train(project)
    first, second = played.kernels.all.values()
    assert second.request.kernel_data_sources == [first.request.slug]
    assert "Session 1 of model1 was stopped at epoch 3, step 2." in capfd.readouterr().out


@given(st.from_regex(rf"\A{recipes.NAME}\Z").filter(lambda name: "\n" not in name))
def test_kernel_names_are_valid_on_kaggle(name):
    api = SimpleNamespace(CONFIG_NAME_USER="username", get_config_value=lambda _: "ada")
    user, slug = push.new_kernel(api, name).split("/")
    assert user == "ada"
    assert slugify(slug.replace("-", " ")) == slug  # Kaggle makes the slug from the title
    assert len("kaggle-cifar") < len(slug) <= 50
    assert push.new_kernel(api, name) != f"ada/{slug}"


def test_credentials_without_a_user_are_refused():
    api = SimpleNamespace(CONFIG_NAME_USER="username", get_config_value=lambda _: None)
    with pytest.raises(UserError, match="no user name"):
        push.new_kernel(api, "model1")
