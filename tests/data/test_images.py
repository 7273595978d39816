"""Reading images in order from files and cache; a cache is whole or absent and never stale."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from kaggle_cifar.data import cache, decoding
from kaggle_cifar.data.decoding import BrokenImageError
from kaggle_cifar.data.images import read_images, survey_images
from kaggle_cifar.data.manifest import CorruptManifestError
from kaggle_cifar.files import lock
from tests.helpers import ROOT
from tests.helpers.small_data import project_in, write_manifest, write_pngs

IDS = np.sort(np.random.default_rng(3).choice(300_000, 131, replace=False)) + 1


@pytest.fixture
def extracted(tmp_path):
    project = project_in(tmp_path)
    pixels = write_pngs(project.images("test"), IDS)
    write_manifest(project, "test")
    return project, pixels


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Return the same for many examples, each of which deletes the cache."""
    project = project_in(tmp_path_factory.mktemp("pixels"))
    pixels = write_pngs(project.images("test"), IDS)
    write_manifest(project, "test")
    return project, pixels


def read(project, ids=IDS, batch_size=50):
    return np.concatenate(list(read_images(project, "test", ids, batch_size)))


def caches(project):
    """Return the names in the cache folder without its lock."""
    if not project.cache.exists():
        return []
    return sorted(
        path.name for path in project.cache.iterdir() if path.name != ".kaggle-cifar.lock"
    )


def no_decoder(*_):
    raise AssertionError("decoded again")


# Every image once, in order


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    count=st.sampled_from([1, 2, 127, 130, 131]),
    batch_size=st.sampled_from([1, 2, 7, 13, 126, 127, 128, 131, 500]),
    seed=st.integers(0, 3),
)
def test_images_are_read_once_and_in_order(shared, count, batch_size, seed):
    project, pixels = shared
    shutil.rmtree(project.cache, ignore_errors=True)
    rows = np.arange(count) if seed == 0 else np.random.default_rng(seed).permutation(131)[:count]
    first = list(read_images(project, "test", IDS[rows], batch_size))
    np.testing.assert_array_equal(read(project, IDS, batch_size), pixels)
    again = list(read_images(project, "test", IDS[rows], batch_size))
    for batches in (first, again):
        np.testing.assert_array_equal(np.concatenate(batches), pixels[rows])
        assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert len(caches(project)) == 1


def test_second_reading_decodes_nothing(extracted, monkeypatch):
    project, pixels = extracted
    read(project)
    monkeypatch.setattr(decoding, "decode_files", no_decoder)
    np.testing.assert_array_equal(read(project), pixels)


def test_cache_is_a_numpy_file(extracted):
    project, pixels = extracted
    read(project)
    (name,) = caches(project)
    np.testing.assert_array_equal(np.load(project.cache / name), pixels)


# Never stale


def test_cache_of_other_images_is_replaced(extracted):
    project, _ = extracted
    read(project)
    old = caches(project)
    other = write_pngs(project.images("test"), IDS, seed=8)
    write_manifest(project, "test")
    np.testing.assert_array_equal(read(project), other)
    assert len(caches(project)) == 1
    assert caches(project) != old


def test_folder_without_manifest_is_not_cached(extracted):
    project, pixels = extracted
    project.manifest("test").unlink()
    np.testing.assert_array_equal(read(project), pixels)
    assert caches(project) == []


def test_image_with_other_checksum_is_named(extracted):
    project, _ = extracted
    folder = project.images("test")
    shutil.copy(folder / f"{IDS[90]}.png", folder / f"{IDS[91]}.png")
    with pytest.raises(BrokenImageError, match="its checksum differs") as caught:
        read(project)
    assert caught.value.path == str(folder / f"{IDS[91]}.png")
    assert caches(project) == []


def blacken(path):
    Image.new("RGB", (32, 32)).save(path)


def copy_with_its_times(path):
    """Replace an image by another of the same size and modification time."""
    status = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [blacken, copy_with_its_times, Path.unlink])
def test_image_changed_after_caching_is_named(extracted, capsys, change):
    project, _ = extracted
    read(project)
    path = project.images("test") / f"{IDS[70]}.png"
    change(path)
    with pytest.raises(BrokenImageError) as caught:
        read(project)
    assert caught.value.path == str(path)
    assert "changed since their pixels were cached" in capsys.readouterr().out
    with pytest.raises(BrokenImageError):  # and again: nothing of it was cached
        read(project, IDS[60:80])
    np.testing.assert_array_equal(read(project, IDS[:70]), extracted[1][:70])


def test_touched_image_is_checked_and_cached_again(extracted, capsys):
    project, pixels = extracted
    read(project)
    old = caches(project)
    (project.images("test") / f"{IDS[3]}.png").touch()
    np.testing.assert_array_equal(read(project), pixels)
    assert "changed since their pixels were cached" in capsys.readouterr().out
    assert len(caches(project)) == 1
    assert caches(project) != old
    read(project)
    assert capsys.readouterr().out == ""


def test_foreign_files_in_cache_folder_are_kept(extracted):
    project, _ = extracted
    read(project)
    names = ["test-mine.npy", "test-0123456789ABCDEF.npy", "test-0123456789abcdef.npy.old"]
    names += [".test-0123456789abcdef.npy.7.partial", "xtest-0123456789abcdef.npy"]
    for name in names:
        (project.cache / name).write_text("mine")
    (project.cache / "test-0123456789abcdef.npy").mkdir()
    (project.images("test") / f"{IDS[3]}.png").touch()
    read(project)
    assert {name for name in names if (project.cache / name).read_text() == "mine"} == set(names)
    assert (project.cache / "test-0123456789abcdef.npy").is_dir()
    assert len(caches(project)) == len(names) + 2


def test_unreadable_image_is_not_called_broken(extracted, monkeypatch):
    project, _ = extracted
    path = f"{project.images('test')}/{IDS[3]}.png"

    def read_file(name):
        if name == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
        return Path(name).read_bytes()

    monkeypatch.setattr(decoding, "read_file", read_file)
    with pytest.raises(BrokenImageError) as caught:
        read(project)
    assert (caught.value.path, caught.value.what) == (path, "could not be read (Permission denied)")
    assert "elete" not in str(caught.value)
    assert "extract" not in str(caught.value)


def test_image_broken_in_archive_has_its_own_remedy(extracted):
    project, _ = extracted
    (project.images("test") / f"{IDS[3]}.png").write_bytes(b"no image")
    write_manifest(project, "test")
    with pytest.raises(BrokenImageError, match="broken at its source"):
        read(project)


def test_survey_yields_readable_images_and_all_faults(extracted):
    project, pixels = extracted
    broken = [0, 1, 57, 130]
    for row in broken:
        (project.images("test") / f"{IDS[row]}.png").write_bytes(b"no image")
    found, faults = zip(*survey_images(project, "test", IDS, 20), strict=True)
    np.testing.assert_array_equal(np.concatenate(found), np.delete(pixels, broken, axis=0))
    names = [Path(fault.path).stem for group in faults for fault in group]
    assert names == [str(IDS[row]) for row in broken]
    assert caches(project) == []


def test_id_that_was_not_extracted_is_named(extracted):
    project, _ = extracted
    read(project)
    with pytest.raises(BrokenImageError, match="is missing") as caught:
        read(project, np.append(IDS, 300_001))
    assert caught.value.path == str(project.images("test") / "300001.png")


def test_damaged_manifest_is_named(extracted):
    project, _ = extracted
    project.manifest("test").write_text("id,size,crc32\n1,2\n")
    with pytest.raises(CorruptManifestError) as caught:
        read(project)
    assert caught.value.path == project.manifest("test")


@pytest.mark.parametrize("content", [b"", b"no NumPy", None])
def test_damaged_cache_is_written_again(extracted, content):
    project, pixels = extracted
    read(project)
    path = project.cache / caches(project)[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] if content is None else content)
    np.testing.assert_array_equal(read(project), pixels)
    assert path.read_bytes() == whole


# Whole or absent, and never in the way


def test_interrupted_reading_leaves_no_cache(extracted):
    project, _ = extracted
    batches = read_images(project, "test", IDS, 10)
    next(batches)
    assert len(caches(project)) == 1
    batches.close()
    assert caches(project) == []


class FullFile:
    """A file on a disk that has room for some bytes and no more."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, content):
        self.room -= len(memoryview(content).cast("B"))
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(content)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


@pytest.mark.parametrize("room", [0, 128, 100_000])
def test_full_disk_does_not_stop_reading(extracted, monkeypatch, capsys, room):
    project, pixels = extracted
    path_open = Path.open

    def full_disk(path, mode="r", *options):
        file = path_open(path, mode, *options)
        return FullFile(file, room) if path.name.endswith(".partial") else file

    monkeypatch.setattr(Path, "open", full_disk)
    np.testing.assert_array_equal(read(project), pixels)
    assert "are not cached" in capsys.readouterr().out
    assert caches(project) == []


@pytest.mark.parametrize("step", ["sync", "check_free_space", "lock"])
def test_failure_at_other_step_does_not_stop_reading(extracted, monkeypatch, capsys, step):
    project, pixels = extracted

    def full_disk(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache, step, full_disk)
    np.testing.assert_array_equal(read(project), pixels)
    assert "are not cached" in capsys.readouterr().out
    assert caches(project) == []


def test_cache_leaves_disk_space_for_other_work(extracted, monkeypatch, capsys):
    project, pixels = extracted
    usage = shutil._ntuple_diskusage(10**9, 10**9 - 500_000, 500_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    np.testing.assert_array_equal(read(project), pixels)
    assert "are not cached" in capsys.readouterr().out
    assert caches(project) == []


def test_two_readers_write_one_cache(extracted, capsys):
    project, pixels = extracted
    with lock(project.cache, "image caching"):
        np.testing.assert_array_equal(read(project), pixels)
    assert "Another image caching process" in capsys.readouterr().out
    assert caches(project) == []
    first, second = (read_images(project, "test", IDS, 10) for _ in range(2))
    both = list(zip(first, second, strict=True))
    for part in (0, 1):
        np.testing.assert_array_equal(np.concatenate([pair[part] for pair in both]), pixels)
    assert len(caches(project)) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes no file that is open")
def test_cache_may_be_deleted_while_in_use(extracted, capsys):
    project, pixels = extracted
    for cache_was_there in (False, True):
        if cache_was_there:
            read(project)
        batches = read_images(project, "test", IDS, 10)
        start = next(batches)
        shutil.rmtree(project.cache)
        np.testing.assert_array_equal(np.concatenate([start, *batches]), pixels)
        assert caches(project) == []
        assert ("are not cached" in capsys.readouterr().out) != cache_was_there


def test_survey_ignores_the_cache(extracted):
    project, _ = extracted
    read(project)
    (project.images("test") / f"{IDS[5]}.png").write_bytes(b"")
    faults = [fault for _, faults in survey_images(project, "test", IDS, 10) for fault in faults]
    assert [fault.what for fault in faults] == ["is not an image (0 bytes)"]


# A kill at any moment

KILLED_AT = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
from kaggle_cifar.data import decoding, images
from kaggle_cifar import files
from tests.helpers.kills import killing, owner_of

data, ids, where, calls = sys.argv[1:]
# TensorFlow takes seconds to import.
decoding.decode_files = lambda paths, _: (np.stack([np.array(Image.open(p)) for p in paths]), [])
owner, name = owner_of(where)
setattr(owner, name, killing(getattr(owner, name), int(calls)))
for _ in images.read_images(files.ProjectPaths(Path(data)), "test", np.load(ids), 20):
    pass
"""


@pytest.mark.kill
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(
    ("where", "calls"),
    [
        ("numpy.lib.format:write_array_header_1_0", 1),
        ("kaggle_cifar.data.cache:CacheWriter.write", 1),
        ("kaggle_cifar.data.cache:CacheWriter.write", 6),
        ("kaggle_cifar.data.cache:sync", 1),
        ("pathlib:Path.replace", 1),
    ],
)
def test_killed_caching_is_completed_by_next_reading(extracted, tmp_path, where, calls):
    project, pixels = extracted
    np.save(tmp_path / "ids.npy", IDS)
    command = [sys.executable, "-c", KILLED_AT, str(project.data), str(tmp_path / "ids.npy")]
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([*command, where, str(calls)], check=False, env=path)
    assert killed.returncode == -signal.SIGKILL
    assert not list(project.cache.glob("*.npy"))
    np.testing.assert_array_equal(read(project), pixels)
    (name,) = caches(project)
    np.testing.assert_array_equal(np.load(project.cache / name), pixels)
