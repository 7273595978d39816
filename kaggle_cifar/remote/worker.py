"""A session on Kaggle: the data is found there, a run trained, its files listed for the laptop.

It runs there, from the source that the pushed script carries. `main` imports nothing but the
standard library: what Kaggle's image lacks is installed before anything needs it.
"""

import contextlib
import hashlib
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

if TYPE_CHECKING:
    from kaggle_cifar.files import ProjectPaths

# Where Kaggle has mounted a competition, below its folder of inputs, at one time or another.
MOUNTS = (competition.SLUG, f"competitions/{competition.SLUG}")
LISTING = "output.json"  # the session's state and the digests of the run's files, written last
STOPPED = 128 + signal.SIGTERM  # the exit status of a session that was stopped, its state saved
# What training and prediction import; Kaggle's image has them all, as far as is known.
NEEDED = ("filelock", "h5py", "matplotlib", "numpy", "pandas", "psutil", "tensorflow", "tqdm")


@dataclass(frozen=True)
class Job:
    """What a session is to do; all of it JSON."""

    name: str  # of the run
    recipe: dict[str, Any]
    options: dict[str, Any]
    predict: bool
    resume: bool  # from the run that another session left, which is among the inputs
    seconds: float  # after which the session stops by itself, its state saved


def main(job: Job) -> int:
    """Do the job in a process of its own, list what it leaves, return the exit status."""
    root = find_root()
    tell_gpus()
    install_missing(root / "input")
    status = run_session(job)
    state = {0: "finished", STOPPED: "stopped", -signal.SIGTERM: "stopped"}.get(status, "failed")
    if state == "stopped":
        print("The session's time is over. Another one can go on from what is saved.", flush=True)
    listing = {"state": state, "files": digests(root / "working", job.name)}
    (root / "working" / LISTING).write_text(json.dumps(listing, indent=2) + "\n")
    return 1 if state == "failed" else 0


def find_root() -> Path:
    """Return the folder that holds `input` and `working`.

    Scripts on Kaggle are started in a folder beside these two, whose parent is /kaggle.
    """
    beside = Path.cwd().parent
    return beside if (beside / "input").is_dir() else Path("/kaggle")


def tell_gpus() -> None:
    """Print which GPUs the session has: one that has none is better cancelled soon."""
    command = shutil.which("nvidia-smi")
    listed = subprocess.run([command, "-L"], capture_output=True, text=True) if command else None
    found = listed.stdout.strip() if listed else ""
    print(found or "This session has no GPU: its CPU does the work.", flush=True)


def install_missing(inputs: Path) -> None:
    """Install the packages that the session needs and this image lacks, and say why."""
    missing = {name: "training imports it" for name in NEEDED if not is_there(name)}
    packed = any((inputs / place / competition.TRAIN_ARCHIVE).exists() for place in MOUNTS)
    if packed and not shutil.which("7z") and not is_there("py7zr"):
        missing["py7zr"] = "the images are packed, and there is no 7z"
    for name, reason in missing.items():
        print(f"This image lacks {name}: installing it, because {reason}.", flush=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", name]
        if subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
            sys.exit(f"Error: {name} could not be installed; is the session's internet on?")


def is_there(package: str) -> bool:
    """Whether a package can be imported."""
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False


def run_session(job: Job) -> int:
    """Run `session` in another process and repeat what it prints; return its exit status.

    It is stopped when its time is over, or when Kaggle asks for an end.
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
    with contextlib.suppress(ValueError):  # not in the main thread: then the timer must do
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    for line in process.stdout or ():
        print(line, end="", flush=True)
    timer.cancel()
    return process.wait()


def digests(working: Path, name: str) -> dict[str, str]:
    """Return the SHA-256 of each file of the run by its path below `working`."""
    files = sorted(path for path in (working / name).rglob("[!.]*") if path.is_file())
    return {path.relative_to(working).as_posix(): digest(path) for path in files}


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# In the process that trains


def session(job: Job) -> int:
    """Train, and predict where that is asked for; return the exit status."""
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
    """Train on what lies in `root`/input; all but the run itself goes to the temporary disk."""
    from kaggle_cifar.files import ProjectPaths, from_json
    from kaggle_cifar.prediction import predict
    from kaggle_cifar.recipes import Recipe
    from kaggle_cifar.training.options import RunOptions
    from kaggle_cifar.training.train import train

    project = ProjectPaths(temporary / "data", root / "working", temporary / "submissions")
    place_data(root / "input", project, ["train", "test"] if job.predict else ["train"])
    if job.resume:
        resume(root, job.name)
    recipe, options = from_json(Recipe, job.recipe), from_json(RunOptions, job.options)
    run = train(project, recipe, job.name, options)
    if job.predict:
        predict.predict(project, [run])


def place_data(inputs: Path, project: "ProjectPaths", splits: list[str]) -> None:
    """Lay out the competition's files that are mounted below `inputs`, archives unpacked.

    Raises
    ------
    UserError
        When they are not there.
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

    for place in MOUNTS:
        if (inputs / place).is_dir():
            return inputs / place
    found = ", ".join(sorted(path.name for path in inputs.glob("*"))) or "nothing"
    raise UserError(
        f"The competition's data is not in {inputs}, where {found} is. Accept the rules at "
        f"{competition.RULES_PAGE} and run the same command again."
    )


def place_images(mounted: Path, project: "ProjectPaths", split: str) -> None:
    """Bring a split's images and their manifest into the layout, unpacked there or here."""
    from kaggle_cifar.data.extract import extract_split
    from kaggle_cifar.errors import UserError

    archive = mounted / f"{split}.7z"
    for folder in (mounted / split, mounted / split / split):
        if next(folder.glob("*.png"), None):
            project.images(split).symlink_to(folder)
            write_manifest(project, split)
            return
    if not archive.is_file():
        raise UserError(f"{mounted} holds neither {split}.7z nor images in {split}/.")
    if not shutil.which("7z"):
        extract_split(project, archive, split)
        return
    print(f"Unpacking {archive.name} …", flush=True)
    command = ["7z", "x", "-y", "-bd", f"-o{project.data}", str(archive)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise UserError(f"{archive} could not be unpacked: {done.stderr.strip()[-300:]}")
    write_manifest(project, split)


def write_manifest(project: "ProjectPaths", split: str) -> None:
    """Write the manifest that extraction would have written.

    The laptop's is the same, so that predictions made here are known there to be of its images.
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
    print(f"{len(members):,} images of {split} are there.", flush=True)


def resume(root: Path, name: str) -> None:
    """Copy the run that an earlier session left, which is mounted, to the folder of outputs.

    Raises
    ------
    UserError
        When it is not there.
    """
    from kaggle_cifar.errors import UserError

    left = next(mounted_runs(root / "input", name), None)
    if left is None:
        raise UserError(
            f"The output of the session before, with the run {name}, is not among the inputs. "
            "Its kernel may have been deleted."
        )
    for path in left.rglob("[!.]*"):
        if path.is_file():
            target = root / "working" / name / path.relative_to(left)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def mounted_runs(inputs: Path, name: str) -> Iterator[Path]:
    """Yield the folders of a run below `inputs`, wherever Kaggle mounts a kernel's output."""
    mounted = {str(inputs / place) for place in MOUNTS}  # a run may have the competition's name
    for folder, folders, files in os.walk(inputs, followlinks=True):
        folders[:] = [sub for sub in folders if str(Path(folder, sub)) not in mounted]
        if Path(folder).name == name and "run.json" in files:
            yield Path(folder)


if __name__ == "__main__":
    sys.exit(session(Job(**json.loads(sys.argv[1]))))
