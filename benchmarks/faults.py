"""Kill every step from the download to the CSV, damage archives, lose answers; count the losses.

    python benchmarks/faults.py

The script draws a competition and serves it to the real kaggle client on the loopback interface. It
needs neither data nor a network. SIGKILL ends each step at random moments, and the command line
starts it again. After each kill, every file under a final name must be complete. At the end, all
files must equal those of an undisturbed project, byte for byte. Archives that are truncated or have
a flipped byte must be refused and leave nothing. A submission must reach Kaggle once, even if the
answer is late or lost or the process is killed. Commands whose output paths contain other files
must leave these alone. No credential may be printed or written. The exit status is 1 after a loss.
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
PAUSE = 0.05  # seconds before each MiB that the server sends, as on a fast line
FINISHED_SHARE = 0.2  # of the kills after which the step is finished and starts from nothing
ANSWER_DELAY, LIST_DELAY = 40.0, 20.0  # seconds
HEADER_BYTES = 3_000  # at either end of an archive, where half of the bytes are flipped


@dataclass(frozen=True)
class Step:
    """A command and the files that it writes."""

    arguments: tuple[str, ...]
    made: tuple[str, ...]
    share: float  # of all kills


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
    """A folder in which commands run; their output goes to one log."""

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
        """Run a command to its end; return its duration in seconds."""
        started = time.perf_counter()
        if self.start(*arguments).wait():
            sys.exit(f"{' '.join(arguments)} failed:\n{self.log.read_text()[-2000:]}")
        return time.perf_counter() - started

    def remove(self, made: tuple[str, ...]) -> None:
        """Remove the files that a step writes, including hidden ones."""
        for pattern in made:
            prefixes = ("", ".", f"{RESERVED}.")
            names = [Path(pattern).with_name(prefix + Path(pattern).name) for prefix in prefixes]
            for path in {path for name in names for path in self.folder.glob(str(name))}:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def is_unfinished(self, made: tuple[str, ...]) -> bool:
        """Return whether a step left unfinished files."""
        folders = {self.folder / Path(pattern).parent for pattern in made}
        names = {path.name for folder in folders if folder.exists() for path in folder.iterdir()}
        return any(
            name.endswith(".parts") or (name[0] == "." and not name.endswith(".lock"))
            for name in names - {MARK}
        )

    def digests(self, made: tuple[str, ...]) -> dict[str, str]:
        """Return the SHA-1 of each file under a final name, by path.

        The name of a cache depends on the times of its files, so that part is removed.
        """
        found = {}
        for path in (path for pattern in made for path in files_in(self.folder, pattern)):
            name = re.sub(r"-[0-9a-f]{16}(?=\.npy$)", "", path.relative_to(self.folder).as_posix())
            found[name] = hashlib.sha1(path.read_bytes()).hexdigest()
        return found


def files_in(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield the visible files that match a pattern, and those in matching folders."""
    for found in folder.glob(pattern):
        if not found.name.startswith(".") and found.suffix != ".parts":
            yield from found.rglob("*") if found.is_dir() else [found]


def main() -> None:
    """Run all parts and exit with 1 after a loss."""
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
        losses = damage_archives(drawn, scratch, rng, arguments.flips, arguments.truncations)
        with site_of(drawn, scratch / "home") as (site, environment):
            log = scratch / "log"
            whole, killed = (Project(scratch / n, log, environment) for n in ("whole", "killed"))
            for step in STEPS:
                kills = round(arguments.kills * step.share)
                losses += kill_step(step, kills, whole, killed, rng)
                if step.arguments == ("extract",):
                    whole.run(*TRAIN)
                    shutil.copytree(whole.folder / "runs", killed.folder / "runs")
            losses += write_over_foreign_files(whole)
            losses += submit_through_faults(site, whole)
            resumed = sum("bytes=" in request for request in site.requests)
            print(f"downloads that resumed within a file: {resumed}")
        losses += find_secrets(scratch, log)
    print("\n".join(losses) or "lost: nothing")
    sys.exit(bool(losses))


@contextlib.contextmanager
def site_of(drawn: Path, home: Path) -> Iterator[tuple[kaggle_server.KaggleSite, dict[str, str]]]:
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
    step: Step, kills: int, whole: Project, killed: Project, rng: random.Random
) -> list[str]:
    """Run a step undisturbed in one project and with kills in another; return the losses."""
    seconds = whole.run(*step.arguments)
    expected = whole.digests(step.made)
    losses: list[str] = []
    count = unfinished = finished = 0
    parts: set[str] = set()
    is_new = True
    while count < kills:
        started = time.perf_counter()
        process = killed.start(*step.arguments)
        try:
            process.wait(rng.uniform(0, seconds))
            if is_new:  # the machine was busier before
                seconds = min(seconds, time.perf_counter() - started)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            count, is_new = count + 1, False
            unfinished += killed.is_unfinished(step.made)
            losses += differences(killed, expected, step)
            parts, lost = parts_after(killed, parts, whole)
            losses += lost
            if count < kills and rng.random() > FINISHED_SHARE:
                continue
            process = killed.start(*step.arguments)
        if status := process.wait():
            losses.append(f"status {status} after kill {count}")
        losses += differences(killed, expected, step, at_the_end=True)
        finished += 1
        if count < kills:
            killed.remove(step.made)
            parts, is_new = set(), True
    print(
        f"{step.arguments[0]:9} killed {count} times, {unfinished} of them with unfinished files; "
        f"finished {finished} times, {len(expected):,} files compared each time; undisturbed "
        f"{seconds:.1f} s; losses: {len(losses)}",
        flush=True,
    )
    return [f"{' '.join(step.arguments)}: {loss}" for loss in losses]


def differences(
    killed: Project, expected: dict[str, str], step: Step, at_the_end: bool = False
) -> list[str]:
    """Return the files that differ; before the end, missing files are expected."""
    found = killed.digests(step.made)
    if not at_the_end:  # it lists the files that are complete so far
        found.pop("data/raw/verified.json", None)
    wrong = [path for path, digest in found.items() if digest != expected.get(path)]
    missing = sorted(expected.keys() - found.keys()) if at_the_end else []
    return [f"{path} is wrong" for path in wrong] + [f"{path} is missing" for path in missing]


def parts_after(killed: Project, before: set[str], whole: Project) -> tuple[set[str], list[str]]:
    """Return the finished parts of a prediction and their losses."""
    result = Path("runs") / RUN / "test_probabilities.npy"
    files = sorted(reserved_path(killed.folder / result, "parts").glob("[0-9]*.npy"))
    names = {file.name for file in files}
    losses = []
    for file in files:
        part, start = np.load(file), int(file.stem)
        kept = read_probabilities(whole.folder / result)["probabilities"][start:][: len(part)]
        losses += [f"the part {file.name} is wrong"] * (not np.array_equal(part, kept))
    if not (killed.folder / result).exists():
        losses += [f"the part {name} was lost" for name in sorted(before - names)]
    return names, losses


# Output paths


def write_over_foreign_files(project: Project) -> list[str]:
    """Run commands whose output paths contain foreign files, which must not change."""
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
        f"output paths: {len(commands)} commands over {len(foreign)} foreign files; "
        f"replaced or deleted: {len(losses)}",
        flush=True,
    )
    for path in foreign:
        path.unlink(missing_ok=True)
    return losses


def is_foreign(path: Path) -> bool:
    """Return whether a file is an unchanged foreign one."""
    return path.is_file() and path.read_bytes() == f"mine: {path.name}".encode()


# Submissions


def submit_through_faults(site: kaggle_server.KaggleSite, project: Project) -> list[str]:
    """Submit a CSV under each fault, with up to three commands; each must arrive once."""
    statuses = (408, 499, 500, 502, 503, 504)
    faults: dict[str, kaggle_server.Fault] = {
        f"an answer after {ANSWER_DELAY:.0f} s": kaggle_server.answer_late(ANSWER_DELAY),
        "a lost answer": kaggle_server.lose_answer,
        "a killed process": kaggle_server.answer_late(10 * ANSWER_DELAY),
        **{
            f"HTTP {status} after the fact": kaggle_server.refuse_afterwards(status)
            for status in statuses
        },
    }
    site.list_lag = LIST_DELAY
    losses = []
    for name, fault in faults.items():
        csv = write_unique_csv(project, len(site.submissions))
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
        f"submissions: {len(faults)} with a late, lost or failed answer, Kaggle's list delayed by "
        f"{LIST_DELAY:.0f} s; lost or sent twice: {len(losses)}",
        flush=True,
    )
    return losses


def write_unique_csv(project: Project, number: int) -> Path:
    """Write a CSV that differs for each number; return its path in the project."""
    header, *rows = (project.folder / "submissions" / f"{RUN}.csv").read_text().splitlines()
    names = competition.CLASS_NAMES
    image_id, _, label = rows[number].partition(",")
    rows[number] = f"{image_id},{names[names.index(label) - 1]}"
    path = Path("submissions") / f"fault{number}.csv"
    (project.folder / path).write_text("\n".join([header, *rows]) + "\n")
    return path


# Damage


def damage_archives(
    drawn: Path, scratch: Path, rng: random.Random, flips: int, truncations: int
) -> list[str]:
    """Extract damaged copies of an archive; each must be refused or give the same images."""
    content = (drawn / competition.TRAIN_ARCHIVE).read_bytes()
    folder = scratch / "damaged"
    folder.mkdir()
    extract_quietly(drawn / competition.TRAIN_ARCHIVE, folder / "train")
    expected = contents_of(folder)
    shutil.rmtree(folder)
    losses, harmless = [], 0
    for number in range(flips):
        half = range(len(content)) if number % 2 else range(-HEADER_BYTES, HEADER_BYTES)
        place = rng.choice(half) % len(content)
        damaged = bytearray(content)
        damaged[place] ^= rng.randrange(1, 256)
        found = extract_damaged(bytes(damaged), folder)
        harmless += found == expected
        losses += [f"byte {place} flipped: {found:.300}"] * (found not in ("refused", expected))
    for number in range(truncations):
        length = len(content) * number // truncations
        found = extract_damaged(content[:length], folder)
        losses += [f"cut off after {length}: {found:.300}"] * (found != "refused")
    print(
        f"archives: {flips} with a flipped byte, {flips - harmless} of them refused and {harmless} "
        f"with the same images; {truncations} truncated; losses: {len(losses)}",
        flush=True,
    )
    return losses


def extract_damaged(content: bytes, folder: Path) -> str:
    """Extract an archive; return "refused" if it left nothing, otherwise the files."""
    folder.mkdir()
    archive = folder / "train.7z"
    archive.write_bytes(content)
    try:
        extract_quietly(archive, folder / "train")
        found = ""
    except UserError:
        found = "refused"
    archive.unlink()
    found += contents_of(folder)
    shutil.rmtree(folder)
    return found


def extract_quietly(archive: Path, folder: Path) -> None:
    """Extract an archive of the drawn training images without output."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        ids = range(1, TRAIN_COUNT + 1)
        extract_archive(archive, folder, folder.with_suffix(".manifest.csv"), ids)


def contents_of(folder: Path) -> str:
    """Return the paths below a folder and the digests of their files.

    The content of JSON records is left out, because it names the archive.
    """
    lines = []
    for path in sorted(folder.rglob("*")):
        is_read = path.is_file() and path.suffix != ".json"
        digest = hashlib.sha1(path.read_bytes()).hexdigest() if is_read else ""
        lines.append(f"{path.relative_to(folder)} {digest}\n")
    return "".join(lines)


# Credentials


def find_secrets(scratch: Path, log: Path) -> list[str]:
    """Search all output and files for credentials and signed links."""
    secrets = [secret.encode() for secret in kaggle_server.SECRETS]
    searched, losses = 0, []
    for path in (path for path in scratch.rglob("*") if path.is_file()):
        content = path.read_bytes()
        searched += len(content)
        losses += [f"{path} holds a credential"] * any(secret in content for secret in secrets)
    printed = log.read_text(errors="replace")
    tracebacks = printed.count("Traceback")
    print(
        f"credentials: {len(losses)} files with one in {searched / 2**20:,.0f} MiB, "
        f"{len(printed):,} bytes of it output; tracebacks: {tracebacks}"
    )
    return losses + ["a traceback was printed"] * bool(tracebacks)


if __name__ == "__main__":
    main()
