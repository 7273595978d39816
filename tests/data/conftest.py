import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A missing folder, on a second file system if this machine has one to write to."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        yield tmp_path / "disk"
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder) / "disk"
