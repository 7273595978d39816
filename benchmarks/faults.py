"""Inject faults into every step from download to submission and count losses.

    python benchmarks/faults.py

It draws a competition and serves it on the loopback interface to the real kaggle client. It needs
no data and no network. It checks that:

- after SIGKILL, every file under a final name is complete; the resumed step writes the same bytes
  as an undisturbed one;
- corrupt and truncated archives are refused and leave no files;
- a submission reaches Kaggle once if the answer is late or lost or if the process is killed;
- commands do not change files that this program did not write;
- no credential is printed or written.

It exits with status 1 if a check fails.
"""

import argparse
import contextlib
import hashlib
import io
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kaggle_cifar import competition
from kaggle_cifar.data.extract import extract_archive
from kaggle_cifar.data.synthetic import draw_sample
from kaggle_cifar.errors import UserError
from kaggle_cifar.models.inference import read_probabilities
from kaggle_cifar.ownership import MARK, RESERVED, reserved_path

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.helpers import kaggle_server

TRAIN_COUNT, TEST_COUNT = 1_000, 22_000  # images
RUN = "small"
PAUSE = 0.05  # seconds before each MiB that the server sends
FINISH_SHARE = 0.2  # share of the kills after which the step may finish and starts over
SLOW = 40.0  # seconds until a late answer
LAG = 20.0  # seconds until Kaggle lists a submission
HEADER_BYTES = 3_000  # at each end of an archive; half of the flipped bytes are there


@dataclass(frozen=True)
class Step:
    """A command and the patterns of the files that it writes."""

    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    share: float  # share of all kills


STEPS = (
    Step(("download", "--no-extract"), ("data/raw/*",), 0.25),
    Step(("extract",), ("data/t*",), 0.25),
    Step(("inspect",), ("data/cache/*", "data/inspection/*"), 0.2),
    Step(
        ("predict", RUN),
        ("data/cache/test*", f"runs/{RUN}/test_probabilities*", "submissions/*"),
        0.3,
    ),
)
TRAIN = ("train", "model1", "--epochs", "1", "--limit", "200", "--name", RUN)


class Project:
    """A folder in which commands run; they print to one log."""

    def __init__(self, folder: Path, log: Path, environment: dict[str, str]) -> None:
        self.folder, self.log, self.environment = folder, log, environment
        folder.mkdir()

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command of this program."""
        with self.log.open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "kaggle_cifar", *arguments],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env=self.environment,
            )

    def run(self, *arguments: str) -> float:
        """Run a command and return its seconds."""
        started = time.perf_counter()
        if self.start(*arguments).wait():
            sys.exit(f"{' '.join(arguments)} failed:\n{self.log.read_text()[-2000:]}")
        return time.perf_counter() - started

    def remove(self, outputs: tuple[str, ...]) -> None:
        """Remove the files that a step writes, hidden ones as well."""
        for pattern in outputs:
            prefixes = ("", ".", f"{RESERVED}.")
            names = [Path(pattern).with_name(prefix + Path(pattern).name) for prefix in prefixes]
            for path in {path for name in names for path in self.folder.glob(str(name))}:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def is_unfinished(self, outputs: tuple[str, ...]) -> bool:
        """Return whether a step left unfinished files."""
        folders = {self.folder / Path(pattern).parent for pattern in outputs}
        names = {path.name for folder in folders if folder.exists() for path in folder.iterdir()}
        return any(
            name.endswith(".parts") or (name[0] == "." and not name.endswith(".lock"))
            for name in names - {MARK}
        )

    def digests(self, outputs: tuple[str, ...]) -> dict[str, str]:
        """Return the SHA-1 of each file under a final name, by path.

        The name of a cache depends on the times of the images, so that part is removed.
        The record of verified files holds their times, so it is left out.
        """
        found = {}
        for path in (path for pattern in outputs for path in files_in(self.folder, pattern)):
            if path.name == "verified.json":
                continue
            name = re.sub(r"-[0-9a-f]{16}(?=\.npy$)", "", path.relative_to(self.folder).as_posix())
            found[name] = hashlib.sha1(path.read_bytes()).hexdigest()
        return found


def files_in(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield the files of a pattern and of the folders that match it, without hidden ones."""
    for found in folder.glob(pattern):
        if not found.name.startswith(".") and found.suffix != ".parts":
            yield from found.rglob("*") if found.is_dir() else [found]


def main() -> None:
    """Inject all faults and print the losses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--truncations", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        drawn = scratch / "drawn"
        draw_sample(drawn, 0, TRAIN_COUNT, TEST_COUNT)
        losses = extract_corrupt_archives(
            drawn, scratch, rng, arguments.flips, arguments.truncations
        )
        with serve_competition(drawn, scratch / "home") as (site, environment):
            log = scratch / "log"
            undisturbed, killed = (
                Project(scratch / n, log, environment) for n in ("undisturbed", "killed")
            )
            for step in STEPS:
                kills = round(arguments.kills * step.share)
                losses += kill_step(step, kills, undisturbed, killed, rng)
                if step.arguments == ("extract",):
                    undisturbed.run(*TRAIN)
                    shutil.copytree(undisturbed.folder / "runs", killed.folder / "runs")
            losses += write_over_foreign_files(undisturbed)
            losses += submit_through_faults(site, undisturbed)
            resumed = sum("bytes=" in request for request in site.requests)
            print(f"downloads resumed within a file: {resumed}")
        losses += find_secrets(scratch, log)
    print("\n".join(losses) or "No losses.")
    sys.exit(bool(losses))


@contextlib.contextmanager
def serve_competition(
    drawn: Path, home: Path
) -> Iterator[tuple[kaggle_server.KaggleSite, dict[str, str]]]:
    """Serve a drawn competition; yield the site and the environment that leads to it."""
    home.mkdir()
    files = {name: (drawn / name).read_bytes() for name in competition.FILES}
    site = kaggle_server.KaggleSite(files, pause=PAUSE)
    server = kaggle_server.start(site)
    kept = {name: value for name, value in os.environ.items() if "KAGGLE" not in name}
    yield (
        site,
        kept
        | {
            "HOME": str(home),
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "KAGGLE_USERNAME": kaggle_server.USERNAME,
            "KAGGLE_KEY": kaggle_server.KEY,
            "http_proxy": f"http://127.0.0.1:{server.server_address[1]}",
            "no_proxy": "",
        },
    )
    kaggle_server.stop(server, site)


# SIGKILL


def kill_step(
    step: Step, kills: int, undisturbed: Project, killed: Project, rng: random.Random
) -> list[str]:
    """Run a step undisturbed in one project and kill it repeatedly in another."""
    seconds = undisturbed.run(*step.arguments)
    expected = undisturbed.digests(step.outputs)
    losses: list[str] = []
    count = unfinished = finished = 0
    parts: set[str] = set()
    is_new = True
    while count < kills:
        started = time.perf_counter()
        process = killed.start(*step.arguments)
        try:
            process.wait(rng.uniform(0, seconds))
            if is_new:  # the first measurement may be too long
                seconds = min(seconds, time.perf_counter() - started)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            count, is_new = count + 1, False
            unfinished += killed.is_unfinished(step.outputs)
            losses += differences(killed, expected, step)
            parts, lost = check_parts(killed, parts, undisturbed)
            losses += lost
            if count < kills and rng.random() > FINISH_SHARE:
                continue
            process = killed.start(*step.arguments)
        if status := process.wait():
            losses.append(f"status {status} after kill {count}")
        losses += differences(killed, expected, step, at_the_end=True)
        finished += 1
        if count < kills:
            killed.remove(step.outputs)
            parts, is_new = set(), True
    print(
        f"{step.arguments[0]:9} killed {count} times, {unfinished} of them with unfinished "
        f"files on disk; finished {finished} times, {len(expected):,} files compared each time; "
        f"undisturbed {seconds:.1f} s; losses: {len(losses)}",
        flush=True,
    )
    return [f"{' '.join(step.arguments)}: {loss}" for loss in losses]


def differences(
    killed: Project, expected: dict[str, str], step: Step, at_the_end: bool = False
) -> list[str]:
    """Return the wrong files and, at the end, the missing ones."""
    found = killed.digests(step.outputs)
    wrong = [path for path, digest in found.items() if digest != expected.get(path)]
    missing = sorted(expected.keys() - found.keys()) if at_the_end else []
    return [f"{path} is wrong" for path in wrong] + [f"{path} is missing" for path in missing]


def check_parts(
    killed: Project, before: set[str], undisturbed: Project
) -> tuple[set[str], list[str]]:
    """Return the finished parts of a prediction and the losses among them."""
    result = Path("runs") / RUN / "test_probabilities.npy"
    files = sorted(reserved_path(killed.folder / result, "parts").glob("[0-9]*.npy"))
    names = {file.name for file in files}
    losses = []
    for file in files:
        part, start = np.load(file), int(file.stem)
        kept = read_probabilities(undisturbed.folder / result)["probabilities"][start:][: len(part)]
        losses += [f"the part {file.name} is wrong"] * (not np.array_equal(part, kept))
    if not (killed.folder / result).exists():
        losses += [f"the part {name} was lost" for name in sorted(before - names)]
    return names, losses


# Files of other programs


def write_over_foreign_files(project: Project) -> list[str]:
    """Run commands that write into folders with foreign files; return the changed ones."""
    home = project.folder / "home"
    own_kinds = ("data", "data/train", "runs", f"runs/{RUN}", "submissions")
    places = ["home", "home/Documents", "link", ".", "..", *own_kinds]
    commands = [
        *(("export", RUN, "--output", place) for place in places),
        *(("predict", RUN, "--output", f"{place}/mine.csv") for place in places),
        ("predict", RUN, "--output", "home/mine.json"),
        ("predict", RUN, "--output", "/dev/null"),
        ("sample", "home"),
        ("--runs-dir", "home", *TRAIN[:-1], "Documents"),
        ("--runs-dir", "home", "search", "model1", "--name", "Documents"),
        ("--data-dir", "home", "extract"),
        ("--data-dir", "home", "inspect"),
        ("--runs-dir", "home", "report"),
    ]
    (home / "Documents").mkdir(parents=True)
    (project.folder / "link").symlink_to("home/Documents")
    for folder in (home, home / "Documents", *(project.folder / kind for kind in own_kinds)):
        for name in ("mine.csv", "mine.json", "classes.txt", "train.7z", "index.html"):
            (folder / name).write_text(f"mine: {name}")
    foreign = [path for path in project.folder.rglob("*") if is_foreign(path)]
    for command in commands:
        project.start(*command).wait()
    losses = [f"{path} was replaced or deleted" for path in foreign if not is_foreign(path)]
    print(
        f"foreign files: {len(foreign)} files, {len(commands)} commands; "
        f"replaced or deleted: {len(losses)}",
        flush=True,
    )
    for path in foreign:
        path.unlink(missing_ok=True)
    return losses


def is_foreign(path: Path) -> bool:
    """Return whether a file is foreign and unchanged."""
    return path.is_file() and path.read_bytes() == f"mine: {path.name}".encode()


# Submissions


def submit_through_faults(site: kaggle_server.KaggleSite, project: Project) -> list[str]:
    """Submit a CSV under each fault, in up to three tries; return the losses."""
    statuses = (408, 499, 500, 502, 503, 504)
    faults: dict[str, kaggle_server.Fault] = {
        f"an answer after {SLOW:.0f} s": kaggle_server.answer_late(SLOW),
        "no answer": kaggle_server.lose_answer,
        "a killed process": kaggle_server.answer_late(10 * SLOW),
        **{
            f"HTTP {status} after acceptance": kaggle_server.refuse_afterwards(status)
            for status in statuses
        },
    }
    site.list_lag = LAG
    losses = []
    for name, fault in faults.items():
        csv = write_unique_submission(project, len(site.submissions))
        before = len(site.submissions)
        site.api_faults["CreateSubmission"] = [fault]
        process = project.start("submit", str(csv))
        if name == "a killed process":
            while len(site.submissions) == before and process.poll() is None:
                time.sleep(0.1)
            process.kill()
        results = [process.wait()]
        while results[-1] and len(results) < 3:
            results.append(project.start("submit", str(csv)).wait())
        sent = len(site.submissions) - before
        losses += [f"{name}: the last command failed"] * bool(results[-1])
        losses += [f"{name}: sent {sent} times"] * (sent != 1)
    print(
        f"submit: {len(faults)} faults of Kaggle's answer, its list {LAG:.0f} s late; "
        f"losses: {len(losses)}",
        flush=True,
    )
    return losses


def write_unique_submission(project: Project, number: int) -> Path:
    """Write a CSV that differs from all others; return its path in the project."""
    header, *rows = (project.folder / "submissions" / f"{RUN}.csv").read_text().splitlines()
    names = competition.CLASS_NAMES
    image_id, _, label = rows[number].partition(",")
    rows[number] = f"{image_id},{names[names.index(label) - 1]}"
    path = Path("submissions") / f"fault{number}.csv"
    (project.folder / path).write_text("\n".join([header, *rows]) + "\n")
    return path


# Corrupt archives


def extract_corrupt_archives(
    drawn: Path, scratch: Path, rng: random.Random, flips: int, truncations: int
) -> list[str]:
    """Extract corrupt and truncated copies of an archive; return the losses."""
    content = (drawn / competition.TRAIN_ARCHIVE).read_bytes()
    folder = scratch / "corrupt"
    folder.mkdir()
    extract_quietly(drawn / competition.TRAIN_ARCHIVE, folder / "train")
    expected = folder_digest(folder)
    shutil.rmtree(folder)
    losses, harmless = [], 0
    for number in range(flips):
        half = range(len(content)) if number % 2 else range(-HEADER_BYTES, HEADER_BYTES)
        place = rng.choice(half) % len(content)
        corrupt = bytearray(content)
        corrupt[place] ^= rng.randrange(1, 256)
        found = extract_content(bytes(corrupt), folder)
        harmless += found == expected
        losses += [f"byte {place} flipped: {found:.300}"] * (found not in ("refused", expected))
    for number in range(truncations):
        length = len(content) * number // truncations
        found = extract_content(content[:length], folder)
        losses += [f"truncated to {length} bytes: {found:.300}"] * (found != "refused")
    print(
        f"archives: {flips} with a flipped byte ({flips - harmless} refused, {harmless} extracted "
        f"correctly), {truncations} truncated; losses: {len(losses)}",
        flush=True,
    )
    return losses


def extract_content(content: bytes, folder: Path) -> str:
    """Extract an archive; return "refused" if it was, and the contents that are left."""
    folder.mkdir()
    archive = folder / "train.7z"
    archive.write_bytes(content)
    try:
        extract_quietly(archive, folder / "train")
        found = ""
    except UserError:
        found = "refused"
    archive.unlink()
    found += folder_digest(folder)
    shutil.rmtree(folder)
    return found


def extract_quietly(archive: Path, folder: Path) -> None:
    """Extract an archive of the drawn training images without output."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        ids = range(1, TRAIN_COUNT + 1)
        extract_archive(archive, folder, folder.with_suffix(".manifest.csv"), ids)


def folder_digest(folder: Path) -> str:
    """Return a text with every path below a folder and the digest of every file.

    JSON files get no digest, because they record the archive.
    """
    lines = []
    for path in sorted(folder.rglob("*")):
        is_read = path.is_file() and path.suffix != ".json"
        digest = hashlib.sha1(path.read_bytes()).hexdigest() if is_read else ""
        lines.append(f"{path.relative_to(folder)} {digest}\n")
    return "".join(lines)


# Credentials


def find_secrets(scratch: Path, log: Path) -> list[str]:
    """Search the output and all files for credentials; count the tracebacks."""
    secrets = [secret.encode() for secret in kaggle_server.SECRETS]
    searched, losses = 0, []
    for path in (path for path in scratch.rglob("*") if path.is_file()):
        content = path.read_bytes()
        searched += len(content)
        losses += [f"{path} holds a credential"] * any(secret in content for secret in secrets)
    printed = log.read_text(errors="replace")
    tracebacks = printed.count("Traceback")
    print(
        f"searched for credentials: {searched / 2**20:,.0f} MiB, {len(printed):,} bytes of them "
        f"output; found in {len(losses)} files; tracebacks: {tracebacks}"
    )
    return losses + ["a traceback was printed"] * bool(tracebacks)


if __name__ == "__main__":
    main()
