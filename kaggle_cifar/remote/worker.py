"""The program that runs in a session on Kaggle: find the data, train a run, list its files.

It runs from the source in the pushed script. `main` imports only the standard library and modules
that do, because it installs the packages that Kaggle's image lacks.
"""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_cifar import competition
from kaggle_cifar.data.mounted import MOUNTS, find_mounted
from kaggle_cifar.ownership import sha256

if TYPE_CHECKING:
    from kaggle_cifar.files import ProjectPaths

LISTING = "output.json"  # the session's state and the digests of the run's files; written last
STOPPED = 128 + signal.SIGTERM  # the exit status of a training that saved its state and stopped
# The packages that training and prediction import. Kaggle's image should have them all.
NEEDED = ("filelock", "h5py", "matplotlib", "numpy", "pandas", "psutil", "tensorflow", "tqdm")


@dataclass(frozen=True)
class Job:
    """The job of a session, in JSON values."""

    name: str  # of the run
    recipe: dict[str, Any]
    options: dict[str, Any]
    views: list[str]  # of inference.VIEWS, in which to predict the test images
    resume: bool  # from the output of an earlier session, which is among the inputs
    seconds: float  # after which the session saves its state and stops


def main(job: Job) -> int:
    """Run the job in another process, list the files it wrote, return the exit status."""
    root = find_root()
    print_gpus()
    install_missing(root / "input")
    status = run_session(job)
    state = {0: "finished", STOPPED: "stopped", -signal.SIGTERM: "stopped"}.get(status, "failed")
    if state == "stopped":
        print("The session ran out of time and saved its state.", flush=True)
    listing = {"state": state, "files": run_digests(root / "working", job.name)}
    (root / "working" / LISTING).write_text(json.dumps(listing, indent=2) + "\n")
    return 1 if state == "failed" else 0


def find_root() -> Path:
    """Return the folder that holds `input` and `working`.

    Kaggle starts a script in a sibling folder of these two, below /kaggle.
    """
    parent = Path.cwd().parent
    return parent if (parent / "input").is_dir() else Path("/kaggle")


def print_gpus() -> None:
    """Print the GPUs of the session, so that the user can cancel one without."""
    command = shutil.which("nvidia-smi")
    listed = subprocess.run([command, "-L"], capture_output=True, text=True) if command else None
    found = listed.stdout.strip() if listed else ""
    print(found or "This session has no GPU. It trains on the CPU.", flush=True)


def install_missing(inputs: Path) -> None:
    """Install the packages that the session needs and the image lacks."""
    missing = [name for name in NEEDED if not can_import(name)]
    mounted = find_mounted(inputs)
    packed = mounted and (mounted / competition.TRAIN_ARCHIVE).exists()
    if packed and not shutil.which("7z") and not can_import("py7zr"):
        missing.append("py7zr")
    for name in missing:
        print(f"Installing {name}.", flush=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", name]
        if subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
            sys.exit(f"Error: {name} could not be installed. Check that the internet is on.")


def can_import(package: str) -> bool:
    """Whether a package can be imported."""
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False


def run_session(job: Job) -> int:
    """Run `session` in another process and print what it prints; return its exit status.

    It is stopped when it runs out of time, or when Kaggle asks this process to end.
    """
    source = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", __name__, json.dumps(asdict(job))],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    timer = threading.Timer(job.seconds, process.terminate)
    timer.daemon = True
    timer.start()
    with contextlib.suppress(ValueError):  # not in the main thread: the timer suffices
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    for line in process.stdout or ():
        print(line, end="", flush=True)
    timer.cancel()
    return process.wait()


def run_digests(working: Path, name: str) -> dict[str, str]:
    """Return the SHA-256 of each file of the run, except hidden ones, by its path."""
    files = sorted(path for path in (working / name).rglob("[!.]*") if path.is_file())
    return {path.relative_to(working).as_posix(): sha256(path) for path in files}


# In the process that trains, which has all packages


def session(job: Job) -> int:
    """Train, and predict in the views of the job; return the exit status."""
    from kaggle_cifar.console import say
    from kaggle_cifar.errors import UserError
    from kaggle_cifar.training.signals import Interrupted

    try:
        train_there(job, find_root(), Path(tempfile.mkdtemp(prefix="kaggle-cifar-")))
    except UserError as error:
        say(f"Error: {error}")
        return 1
    except Interrupted as stop:
        return 128 + stop.signal_number
    return 0


def train_there(job: Job, root: Path, temporary: Path) -> None:
    """Train on the data in `root`/input; everything but the run goes to the temporary disk."""
    from kaggle_cifar.files import ProjectPaths
    from kaggle_cifar.models.own_network import allow
    from kaggle_cifar.prediction.predict import predict
    from kaggle_cifar.recipes import Recipe
    from kaggle_cifar.recipes.validation import from_json
    from kaggle_cifar.training.options import RunOptions
    from kaggle_cifar.training.train import train

    project = ProjectPaths(temporary / "data", root / "working", temporary / "submissions")
    place_data(root / "input", project, ["train", "test"] if job.views else ["train"])
    if job.resume:
        resume(root, job.name)
    recipe: Recipe = from_json(Recipe, job.recipe)
    options: RunOptions = from_json(RunOptions, job.options, "options")
    if recipe.network_source:  # the user named it before sending it here
        allow(recipe.network_source)
    run = train(project, recipe, job.name, options)
    for views in job.views:
        predict(project, [run], views)


def place_data(inputs: Path, project: "ProjectPaths", splits: list[str]) -> None:
    """Link or extract the competition's files below `inputs` into the project's folders.

    Raises
    ------
    UserError
        If they are not there.
    """
    mounted = find_competition(inputs)
    project.raw.mkdir(parents=True)
    for name in (competition.TRAIN_LABELS, competition.SAMPLE_SUBMISSION):
        if (mounted / name).exists():
            (project.raw / name).symlink_to(mounted / name)
    for split in splits:
        place_images(mounted, project, split)


def find_competition(inputs: Path) -> Path:
    """Return the folder where Kaggle mounted the competition."""
    from kaggle_cifar.errors import UserError

    if mounted := find_mounted(inputs):
        return mounted
    found = ", ".join(sorted(path.name for path in inputs.glob("*"))) or "nothing"
    raise UserError(
        f"The competition's data is not in {inputs}, which holds {found}. Accept the rules at "
        f"{competition.RULES_PAGE}, then run this again."
    )


def place_images(mounted: Path, project: "ProjectPaths", split: str) -> None:
    """Link or extract the images of a split and write their manifest."""
    from kaggle_cifar.data.extract import extract_split
    from kaggle_cifar.errors import UserError

    archive = mounted / f"{split}.7z"
    for folder in (mounted / split, mounted / split / split):
        if next(folder.glob("*.png"), None):
            project.images(split).symlink_to(folder)
            write_manifest(project, split)
            return
    if not archive.is_file():
        raise UserError(f"{mounted} has neither {split}.7z nor images in {split}/.")
    if not shutil.which("7z"):
        extract_split(project, archive, split)
        return
    print(f"Extracting {archive.name} …", flush=True)
    command = ["7z", "x", "-y", "-bd", f"-o{project.data}", str(archive)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise UserError(f"{archive} could not be extracted: {done.stderr.strip()[-300:]}")
    write_manifest(project, split)


def write_manifest(project: "ProjectPaths", split: str) -> None:
    """Write the manifest that `kaggle-cifar extract` writes.

    The user's machine has the same one, so it knows that the predictions are of its images.
    """
    from kaggle_cifar.data.archive import ArchiveMember
    from kaggle_cifar.data.decoding import read_file
    from kaggle_cifar.data.image_folder import manifest_csv
    from kaggle_cifar.files import write_text

    members = {}
    for path in project.images(split).glob("*.png"):
        if path.stem.isdecimal():
            content = read_file(str(path))
            members[int(path.stem)] = ArchiveMember(len(content), zlib.crc32(content))
    write_text(project.manifest(split), manifest_csv(members))
    print(f"Found {len(members):,} images in {split}.", flush=True)


def resume(root: Path, name: str) -> None:
    """Copy the run in an earlier session's output, which is mounted, to the working folder.

    Raises
    ------
    UserError
        If it is not there.
    """
    from kaggle_cifar.errors import UserError

    left = next(mounted_runs(root / "input", name), None)
    if left is None:
        raise UserError(
            f"The run {name} of the previous session is not in {root / 'input'}. The kernel of "
            "that session may have been deleted."
        )
    for path in left.rglob("[!.]*"):
        if path.is_file():
            target = root / "working" / name / path.relative_to(left)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def mounted_runs(inputs: Path, name: str) -> Iterator[Path]:
    """Yield the folders of a run below `inputs`, at any depth."""
    mounted = {str(inputs / place) for place in MOUNTS}  # a run may have the competition's name
    for folder, folders, files in os.walk(inputs, followlinks=True):
        folders[:] = [sub for sub in folders if str(Path(folder, sub)) not in mounted]
        if Path(folder).name == name and "run.json" in files:
            yield Path(folder)


if __name__ == "__main__":
    sys.exit(session(Job(**json.loads(sys.argv[1]))))
