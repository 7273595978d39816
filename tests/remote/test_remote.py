"""Training on Kaggle: scripts that really run in a folder like Kaggle's, and all that goes wrong.

The site is a stand-in (tests/kaggle_kernels.py); nothing here has met kaggle.com.
"""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slugify import slugify

from kaggle_cifar import recipes
from kaggle_cifar.competition import FILES, SAMPLE_SUBMISSION, SLUG, TRAIN_LABELS
from kaggle_cifar.data.extract import extract
from kaggle_cifar.data.synthetic import SOLUTION, draw_sample
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.models.inference import read_probabilities
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.prediction.predict import predict
from kaggle_cifar.remote import fetch, monitor, push, script, sessions, worker
from kaggle_cifar.remote import train as remote_train
from kaggle_cifar.report import ledger
from kaggle_cifar.submission.score import read_solution
from kaggle_cifar.submission.submit import submit
from kaggle_cifar.submission.write import write_submission
from kaggle_cifar.training.checkpoint import save_checkpoint
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.train import train as train_here
from tests.helpers import kaggle_server as server
from tests.helpers.clocks import Clock
from tests.helpers.kaggle_kernels import Kernel, KernelHost
from tests.helpers.kaggle_server import KaggleSite
from tests.helpers.small_data import project_in

RECIPE = dataclasses.replace(recipes.model1(), epochs=4)
OPTIONS = RunOptions(seed=3)

needs_7z = pytest.mark.skipif(not shutil.which("7z"), reason="needs 7z, as Kaggle's image has it")


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> tuple[ProjectPaths, Run]:
    """A drawn competition, extracted, and the run that this machine trains on it."""
    project = project_in(tmp_path_factory.mktemp("local"))
    draw_sample(project.raw, seed=5, train_count=120, test_count=110)
    extract(project)
    run = train_here(project, RECIPE, "model1", OPTIONS)
    predict(project, [run])
    return project, run


@pytest.fixture
def site(kaggle_site: KaggleSite, tmp_path: Path, local) -> KaggleSite:
    """The site with the drawn competition, mounted as archives where Kaggle used to."""
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


@pytest.fixture(autouse=True)
def no_secret_in_output(capfd):
    yield
    output = "".join(capfd.readouterr())
    assert not [secret for secret in server.SECRETS if secret in output]


def train(project: ProjectPaths, recipe=RECIPE, options=OPTIONS, **changes) -> Run:
    clock = Clock()
    arguments = {"accelerator": script.DEFAULT_ACCELERATOR, **changes}
    return remote_train.train_on_kaggle(
        project, recipe, "model1", options, **arguments, sleep=clock.sleep, clock=clock
    )


def assert_same(run: Run, other: Run) -> None:
    """Assert that two runs are the same but for the time they took and the machine."""
    files = [{p.relative_to(r.folder) for p in r.folder.rglob("*")} for r in (run, other)]
    hidden = {Path("remote.json"), Path(".kaggle-cifar.lock")}
    assert files[0] - hidden == files[1] - hidden
    a, b = (r.load_model().get_weights() for r in (run, other))
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left, right)
    for name in run.folder.glob("*.npy"):
        rows, others = read_probabilities(name), read_probabilities(other.folder / name.name)
        np.testing.assert_array_equal(rows, others)
    assert run.read_recipe() == other.read_recipe()
    for left, right in zip(run.read_history(), other.read_history(), strict=True):
        assert {**left, "seconds": 0} == {**right, "seconds": 0}
    assert {**run.read_metrics(), "seconds": 0} == {**other.read_metrics(), "seconds": 0}


@needs_7z
def test_from_the_laptop_to_a_score(site, project, local, capfd):
    site.kernels.cut_stream = 2
    project.raw.mkdir(parents=True)
    shutil.copy(local[0].raw / SAMPLE_SUBMISSION, project.raw)
    run = train(project, predict=True)
    output = capfd.readouterr().out
    for words in ("model1 on Kaggle: queued.", "model1 on Kaggle: running.", "Unpacking train.7z"):
        assert output.count(words) == 1
    assert "GPU" in output
    assert output.count("Epoch 1/4  loss") == output.count("Epoch 4/4  loss") == 1
    assert_same(run, local[1])
    [pushed] = site.kernels.all.values()
    assert pushed.request.is_private
    assert pushed.request.enable_gpu
    assert pushed.request.machine_shape == "NvidiaTeslaT4"
    assert pushed.request.competition_data_sources == [SLUG]
    assert json.loads((run.folder / "environment.json").read_text())["packages"]["kaggle-cifar"]
    assert pushed.slug in json.loads((run.folder / "remote.json").read_text())["kernel"]
    assert not (project.runs / ".kaggle-cifar.remote" / "model1").exists()

    ids, probabilities = predict(project, [run])  # without any test image here
    csv = project.submissions / "model1.csv"
    write_submission(csv, ids, probabilities.argmax(axis=1), ["model1"])
    record = submit(csv, project, "from Kaggle", 60)
    assert record["status"] == "COMPLETE"
    assert train(project) == run
    assert len(site.kernels.all) == 1


def test_sessions_that_run_out_of_time_go_on_from_checkpoints(site, project, local, capfd):
    """The first is stopped politely, the second killed without a warning; images unpacked."""
    data = local[0]

    def mount(inputs: Path) -> None:
        folder = inputs / "competitions" / SLUG
        folder.mkdir(parents=True)
        (folder / "train").symlink_to(data.images("train"))
        (folder / TRAIN_LABELS).symlink_to(data.raw / TRAIN_LABELS)

    def watch(session: Kernel, line: str, process: subprocess.Popen) -> None:
        number = len(site.kernels.all)
        if number == 1 and line.startswith("Epoch 1/4"):
            process.send_signal(signal.SIGTERM)
        if number == 2 and line.startswith("Epoch 3/4"):
            session.failure = "The session exceeded the time limit"
            os.killpg(process.pid, signal.SIGKILL)

    site.kernels.mount, site.kernels.watch = mount, watch
    run = train(project)
    output = capfd.readouterr().out
    first, second, third = site.kernels.all.values()
    assert "Session 1 of model1" in output
    assert "is here, trained on Kaggle in 3 sessions" in output
    assert second.request.kernel_data_sources == [first.request.slug]
    assert third.request.kernel_data_sources == [second.request.slug]
    assert "Resuming model1 at epoch" in "".join(e["data"] for e in third.events)
    shutil.copytree(local[1].folder, project.runs / "local")
    for file in (project.runs / "local").glob("test_*"):
        file.unlink()
    assert_same(run, Run(project.runs / "local"))


# What goes wrong, with sessions that are played instead of run


def leave(run: Run, session: Kernel, state: str = "finished") -> None:
    """Let a session leave a copy of `run` as its output."""
    files = [path for path in run.folder.rglob("[!.]*") if path.is_file()]
    session.files = {f"model1/{p.relative_to(run.folder)}": p.read_bytes() for p in files}
    listing = {"state": state, "files": worker.digests(run.folder.parent, "model1")}
    session.files[worker.LISTING] = json.dumps(listing).encode()


@pytest.fixture
def played(site, local) -> KaggleSite:
    """The site with sessions that need no time: they leave the run that was trained here."""

    def run(host: KernelHost, session: Kernel) -> None:
        session.log("Epoch 4/4\n")
        leave(local[1], session)
        session.end()

    site.kernels.run = run
    return site


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ({"error": "Maximum weekly GPU quota of 30.00 hours reached"}, "hours anew every week"),
        ({"error": "Phone verification is required to use a GPU"}, "verify your phone"),
        ({"error": "You must accept the rules of this competition"}, "Accept the rules at"),
        ({"invalid_competition_sources": [SLUG]}, "Accept the rules at"),
        ({"error": "The requested title is already in use"}, "draws another name"),
        ({"error": "Maximum batch GPU session count of 2 reached"}, "another session of yours"),
        ({"error": "No"}, "`kaggle-cifar doctor` tells"),
    ],
)
def test_a_refused_push_leaves_nothing_and_says_what_to_do(played, project, refusal, words):
    played.kernels.refusal = refusal
    with pytest.raises(UserError, match="did not take the training") as error:
        train(project)
    assert words in str(error.value)
    assert not list(project.runs.glob(".kaggle-cifar.remote/*"))
    train(project)


def test_a_push_that_is_refused_by_status_is_a_refusal_too(played, project):
    played.api_faults["SaveKernel"] = [server.refuse(409, "The title is taken")]
    with pytest.raises(UserError, match="draws another name"):
        train(project)
    assert not list(project.runs.glob(".kaggle-cifar.remote/*"))


@pytest.mark.parametrize("fault", [server.drop, server.lose_answer, server.refuse(502)])
def test_a_push_whose_answer_is_lost_is_not_sent_twice(played, project, fault):
    played.api_faults["SaveKernel"] = [fault]
    with pytest.raises(UserError, match="the same command finds out"):
        train(project)
    train(project)
    assert len(played.kernels.all) == 1


def test_without_gpu_hours_nothing_is_sent(played, project):
    played.kernels.gpu_hours = (29.9, 30.0)
    with pytest.raises(UserError, match=r"6 min 0 s of GPU time .* 2026-11-28") as error:
        train(project)
    assert "Nothing was sent" in str(error.value)
    assert played.count("SaveKernel") == 0


def test_without_gpu_hours_and_their_return_nothing_is_sent(played, project):
    played.kernels.gpu_hours, played.kernels.quota_refresh = (29.9, 30.0), None
    with pytest.raises(UserError, match=r"6 min 0 s of GPU time") as error:
        train(project)
    assert "new hours on" not in str(error.value)
    assert played.count("SaveKernel") == 0


def test_a_quota_that_is_not_told_is_done_without(played, project, capfd):
    played.kernels.gpu_hours = None
    train(project)
    assert "Going on without it" in capfd.readouterr().out


def test_a_session_stops_before_the_quota_ends(played, project):
    played.kernels.gpu_hours = (28.0, 30.0)
    train(project)
    [pushed] = played.kernels.all.values()
    assert f'"seconds": {2 * 3600 - push.STOP_EARLY}' in pushed.request.text


def test_a_lost_connection_is_made_again(played, project, capfd):
    faults = [server.drop, server.refuse(503), server.refuse(429)]
    played.api_faults["GetKernelSessionStatus"] = faults
    train(project)
    assert capfd.readouterr().out.count("Trying again") == 1


def test_a_connection_that_stays_lost_ends_following_not_the_training(played, project):
    faults = [server.drop] * 1000
    played.api_faults["GetKernelSessionStatus"] = faults
    with pytest.raises(UserError, match="the same command follows it again"):
        train(project)
    faults.clear()
    assert "queued on Kaggle" in ledger.describe_runs(project)
    train(project)
    assert played.count("SaveKernel") == 1


def test_a_kernel_that_was_deleted_is_said_to_be(played, project):
    train(project, detach=True)
    played.kernels.all.clear()
    with pytest.raises(
        UserError, match=r"was it deleted\? Delete the folder .* to start this run anew"
    ):
        train(project)
    assert "queued on Kaggle" in ledger.describe_runs(project)


def test_detached_it_is_followed_later(played, project, capfd):
    train(project, detach=True)
    assert not (project.runs / "model1").exists()
    for state in ("queued", "running"):
        played.kernels.run = lambda host, session: None
        assert f"{state} on Kaggle" in ledger.describe_runs(project)
    with pytest.raises(UserError, match="trained on Kaggle"):
        remote_train.check_remote(project, "model1")
    with pytest.raises(UserError, match="exists with other settings"):
        train(project, options=RunOptions(seed=4))
    [session] = played.kernels.all.values()
    session.failure = "Something broke"
    session.state = "ERROR"
    with pytest.raises(UserError, match="failed: Something broke"):
        train(project)


@pytest.mark.parametrize(
    ("state", "shown"), [("ERROR", "failed"), ("CANCEL_ACKNOWLEDGED", "cancelled")]
)
def test_a_failed_session_shows_the_end_of_its_log_and_can_be_begun_anew(
    played, project, state, shown
):
    well = played.kernels.run

    def run(host: KernelHost, session: Kernel) -> None:
        for number in range(100):
            session.log(f"line {number}\n")
        session.end(state)

    played.kernels.run = run
    with pytest.raises(UserError, match=f"Kaggle .*{shown}") as error:
        train(project)
    assert "line 99" in str(error.value)
    assert "line 50" not in str(error.value)
    assert "begins anew" in str(error.value)
    assert f"{'failed' if state == 'ERROR' else 'cancelled'} on Kaggle" in ledger.describe_runs(
        project
    )
    played.kernels.run = well
    train(project)
    assert len(played.kernels.all) == 2


def test_a_session_that_gets_nowhere_is_not_repeated(site, project, monkeypatch):
    monkeypatch.setattr(push, "SESSION_SECONDS", push.STOP_EARLY + 0.2)
    with pytest.raises(UserError, match="stopped before it got any further"):
        train(project)
    assert len(site.kernels.all) == 1


def test_an_output_that_is_cut_off_is_fetched_again(played, project, local):
    played.get_faults = [server.cut_at(10_000), server.wrong_bytes, server.refuse(503)]
    assert_weights_equal(train(project), local[1])


def test_an_output_that_comes_compressed_is_decoded(played, project, local):
    played.get_faults = [server.compress] * 100
    assert_weights_equal(train(project), local[1])


def test_what_a_user_put_beside_a_session_is_kept(played, project, local):
    train(project, detach=True)
    remote_run = sessions.remote_run(project, "model1")
    mine = [remote_run.folder / name for name in ("notes.txt", "output/mine", "kernel/mine")]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    assert_weights_equal(train(project), local[1])
    assert [path.read_text() for path in mine] == ["mine"] * 3
    left = {path for path in remote_run.folder.iterdir() if path.name != ".kaggle-cifar.lock"}
    assert left == {remote_run.folder / name for name in ("notes.txt", "output", "kernel")}


def test_a_foreign_session_file_is_kept(played, project):
    file = sessions.session_file(sessions.remote_run(project, "model1"))
    file.parent.mkdir(parents=True)
    file.write_text('{"mine": 1}')
    with pytest.raises(ForeignPathError) as error:
        train(project)
    assert error.value.path == file
    assert file.read_text() == '{"mine": 1}'
    assert not played.requests


def test_a_state_that_nobody_knows_is_named(played, project, monkeypatch):
    train(project, detach=True)
    monkeypatch.delitem(monitor.STATES, "QUEUED")
    with pytest.raises(UserError, match="the state QUEUED, which this program does not know"):
        train(project)


def assert_weights_equal(run: Run, other: Run) -> None:
    assert run.weights_sha256() == other.weights_sha256()


def test_an_output_that_stays_damaged_is_refused(played, project, local):
    def run(host: KernelHost, session: Kernel) -> None:
        leave(local[1], session)
        name = "model1/model.weights.h5"
        session.files[name] = session.files[name][:5000]
        session.end()

    played.kernels.run = run
    with pytest.raises(UserError, match="came damaged or cut off twice"):
        train(project)
    assert not (project.runs / "model1").exists()
    [session] = played.kernels.all.values()
    leave(local[1], session)
    train(project)
    assert len(played.kernels.all) == 1


def change_seed(folder: Path) -> None:
    content = json.loads((folder / "run.json").read_text())
    content["options"]["seed"] = 4
    (folder / "run.json").write_text(json.dumps(content))


def lose_a_row(folder: Path) -> None:
    np.save(folder / "test_probabilities.npy", np.load(folder / "test_probabilities.npy")[1:])


def double_an_id(folder: Path) -> None:
    rows = np.load(folder / "validation_probabilities.npy")
    rows["id"][1] = rows["id"][0]
    np.save(folder / "validation_probabilities.npy", rows)


def swap_weights(folder: Path) -> None:
    (folder / "model.weights.h5").write_bytes(b"no weights")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_seed, "other settings"),
        (lose_a_row, "predictions that came from Kaggle are of 109"),
        (double_an_id, "other validation images"),
        (swap_weights, "does not hold weights"),
    ],
)
def test_what_is_not_what_was_asked_for_is_refused(played, project, local, tmp_path, change, words):
    project.raw.mkdir(parents=True)
    shutil.copy(local[0].raw / SAMPLE_SUBMISSION, project.raw)
    shutil.copytree(local[1].folder, tmp_path / "changed" / "model1")
    change(tmp_path / "changed" / "model1")

    def run(host: KernelHost, session: Kernel) -> None:
        leave(Run(tmp_path / "changed" / "model1"), session)
        session.end()

    played.kernels.run = run
    with pytest.raises(UserError, match=f"What came from Kaggle was not taken: .*{words}") as error:
        train(project, predict=True)
    assert "to start this run anew" in str(error.value)
    assert not (project.runs / "model1").exists()


def test_a_listing_that_leads_out_of_the_folder_is_refused(played, project):
    def run(host: KernelHost, session: Kernel) -> None:
        listing = {"state": "finished", "files": {"model1/../../evil": "0"}}
        session.files = {worker.LISTING: json.dumps(listing).encode()}
        session.end()

    played.kernels.run = run
    with pytest.raises(UserError, match="is not what a session writes"):
        train(project)


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the program may run on it."""


def kill(*_: object) -> None:
    raise Killed


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (push, "push"),
        (remote_train, "follow"),
        (fetch, "fetch"),
        (remote_train, "check"),
        (fetch, "sync"),
        (fetch, "forget"),
    ],
)
def test_killed_anywhere_it_goes_on(played, project, local, monkeypatch, module, name):
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(module, name, kill)
        train(project)
    assert_weights_equal(train(project), local[1])
    assert len(played.kernels.all) == 1
    assert not (project.runs / ".kaggle-cifar.remote" / "model1").exists()


def test_a_next_session_that_is_refused_keeps_the_checkpoint(played, project, local, tmp_path):
    run = Run(tmp_path / "stopped" / "model1")
    shutil.copytree(local[1].folder, run.folder)
    run.metrics_file.unlink()
    save_checkpoint(run.checkpoint_file, {"epoch": 2, "step": 1}, {})

    def stop(host: KernelHost, session: Kernel) -> None:
        leave(run, session, "stopped")
        host.refusal = {"error": "Maximum weekly GPU quota reached"}
        session.end()

    well, played.kernels.run = played.kernels.run, stop
    with pytest.raises(UserError, match="hours anew every week"):
        train(project)
    assert "refused on Kaggle" in ledger.describe_runs(project)
    played.kernels.run = well
    train(project)
    first, second = played.kernels.all.values()
    assert second.request.kernel_data_sources == [first.request.slug]


# What is refused before anything is sent


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NvidiaTeslaP100", "has retired NvidiaTeslaP100"),
        ("TpuV38", "has retired"),
        ("TpuV5E8", "is a TPU"),
        ("NvidiaTeslaT5", "Did you mean NvidiaTeslaT4"),
    ],
)
def test_an_accelerator_that_is_none_is_refused(played, project, name, words):
    with pytest.raises(UserError, match=words):
        train(project, accelerator=name)
    assert not played.requests


def test_a_recipe_that_names_a_local_file_is_refused(played, project, tmp_path):
    options = {"filters": {"from": str(tmp_path / "filters.npy")}}
    with pytest.raises(UserError, match=r"network_options\.filters\.from is the local file"):
        train(project, dataclasses.replace(RECIPE, network_options=options))
    assert not played.requests


def test_a_network_that_imports_a_local_module_is_refused(tmp_path, monkeypatch):
    (tmp_path / "my_layers.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    network = tmp_path / "mine.py"
    network.write_text("import math, keras\nfrom kaggle_cifar import layers\nimport my_layers.a\n")
    assert list(script.foreign_modules(network)) == ["my_layers"]


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_no_recipe_needs_a_local_file(name):
    script.check_local_files(recipes.RECIPES[name]())


def test_without_credentials_nothing_is_begun(clean_home, project):
    with pytest.raises(UserError, match="No Kaggle credentials"):
        train(project)
    assert not list(project.runs.glob(".kaggle-cifar.remote/*"))


def test_a_run_that_was_begun_here_is_left_alone(played, project, local):
    shutil.copytree(local[1].folder, project.runs / "model1")
    (project.runs / "model1" / "metrics.json").unlink()
    with pytest.raises(UserError, match="was begun on this machine"):
        train(project)
    assert not played.requests


# The script, and what it meets there


def test_the_same_run_is_the_same_script(tmp_path):
    job = worker.Job("model1", dataclasses.asdict(RECIPE), {"seed": 3}, False, False, 60.0)
    for name in ("a", "b"):
        script.write_kernel(tmp_path / name, "ada/kaggle-cifar-model1", job, "NvidiaL4", None)
    one, two = ((tmp_path / name / "train.py").read_bytes() for name in ("a", "b"))
    assert one == two
    assert len(one) < 1_000_000  # what Kaggle takes


@given(st.from_regex(rf"\A{recipes.NAME}\Z").filter(lambda name: "\n" not in name))
def test_every_run_has_a_kernels_name_that_kaggle_takes(name):
    api = SimpleNamespace(CONFIG_NAME_USER="username", get_config_value=lambda _: "ada")
    user, slug = push.new_kernel(api, name).split("/")
    assert user == "ada"
    assert slugify(slug.replace("-", " ")) == slug  # the title, of which Kaggle makes the slug
    assert len("kaggle-cifar") < len(slug) <= 50
    assert push.new_kernel(api, name) != f"ada/{slug}"


def test_without_the_data_a_session_fails_with_a_sentence(site, project):
    site.kernels.mount = lambda inputs: (inputs / "other").mkdir()
    with pytest.raises(UserError, match=r"data is not in .* where other is. Accept the rules"):
        train(project)


@pytest.mark.parametrize("status", [0, 1])
def test_a_package_that_is_missing_there_is_installed_or_named(
    tmp_path, monkeypatch, capfd, status
):
    commands = []

    def run(command, **_):
        commands.append(command)
        return subprocess.CompletedProcess(command, status)

    (tmp_path / SLUG).mkdir()
    (tmp_path / SLUG / "train.7z").touch()
    monkeypatch.setattr(worker.shutil, "which", lambda name: None)
    monkeypatch.setattr(worker, "is_there", lambda name: name not in ("psutil", "py7zr"))
    monkeypatch.setattr(worker.subprocess, "run", run)
    if status:
        with pytest.raises(SystemExit, match="psutil could not be installed"):
            worker.install_missing(tmp_path)
        return
    worker.install_missing(tmp_path)
    assert [command[-1] for command in commands] == ["psutil", "py7zr"]
    assert "lacks py7zr: installing it, because the images are packed" in capfd.readouterr().out


def test_all_that_training_and_prediction_need_is_looked_for(local):
    """What other packages `worker` may import, Kaggle's image is not asked for."""
    code = (
        "import sys; before = set(sys.modules); sys.argv = ['']\n"
        "from kaggle_cifar.remote import worker\n"
        "from kaggle_cifar.training import train\n"
        "from kaggle_cifar.prediction import predict\n"
        "from kaggle_cifar.data import extract\n"
        "import kaggle_cifar, importlib.metadata as m\n"
        "found = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*found & {'click', 'py7zr', 'kaggle', 'kagglesdk', 'jinja2', 'six', 'requests'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_without_7z_the_images_are_unpacked_all_the_same(project, local, monkeypatch, tmp_path):
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / SLUG).symlink_to(local[0].raw)
    monkeypatch.setattr(worker.shutil, "which", lambda name: None)
    worker.place_data(tmp_path / "input", project, ["train"])
    assert project.manifest("train").read_bytes() == local[0].manifest("train").read_bytes()


@needs_7z
def test_a_broken_archive_there_is_a_sentence(project, tmp_path):
    (tmp_path / "train.7z").write_bytes(b"7z\xbc\xaf\x27\x1c broken")
    with pytest.raises(UserError, match=r"train\.7z could not be unpacked"):
        worker.place_images(tmp_path, project, "train")


def test_what_a_session_before_left_must_be_mounted(tmp_path):
    (tmp_path / "input").mkdir()
    with pytest.raises(UserError, match="is not among the inputs"):
        worker.resume(tmp_path, "model1")


@pytest.mark.parametrize("mount", worker.MOUNTS)
def test_a_run_named_like_the_competition_is_resumed(tmp_path, mount):
    inputs = tmp_path / "input"
    (inputs / mount / SLUG).mkdir(parents=True)
    (inputs / mount / SLUG / "run.json").write_text("of the competition")
    left = inputs / "notebooks" / "ada" / "kaggle-cifar-cifar-10-0123" / SLUG
    left.mkdir(parents=True)
    (left / "run.json").write_text("of the run")
    worker.resume(tmp_path, SLUG)
    assert (tmp_path / "working" / SLUG / "run.json").read_text() == "of the run"
