"""A training's history as the event files that TensorBoard reads."""

import re
from pathlib import Path
from typing import Any

from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import MARK, RESERVED, read_record
from kaggle_cifar.storage import atomic_write, write_record

PREFIX = "events.out.tfevents."
FILE_NAME = re.compile(rf"{re.escape(PREFIX)}\d{{6,}}")


def write_events(folder: Path, history: list[dict[str, Any]], started: float) -> None:
    """Write the scalars of each epoch that has no file in `folder` yet; their step is the epoch.

    `started` is the time of the training's start, in seconds since 1970; an epoch's time is that
    and the seconds of training up to its end, however often the training was interrupted.

    An epoch has a file of its own, so that a TensorBoard that looks on never meets a changed or a
    deleted one. They are written without `tf.summary.scalar`, which wants the package tensorboard.
    Files that this program did not write stay as they are.

    Raises
    ------
    UserError
        When a file cannot be written.
    """
    if len(history) == 1 and (files := own_files(folder)):
        # A training that begins: the files there are another's.
        for name in files:
            (folder / name).unlink(missing_ok=True)
        write_record(folder / MARK, "tensorboard", {"files": []})
    seconds = 0.0
    for row in history:
        seconds += row["seconds"]
        path = folder / f"{PREFIX}{row['epoch']:06}"
        if not path.exists():
            # Noted first: a kill in between leaves no file that nobody knows.
            files = [*own_files(folder), path.name]
            write_record(folder / MARK, "tensorboard", {"files": files})
            write_epoch(path, row, started + seconds)


def own_files(folder: Path) -> list[str]:
    """Return the names of the event files in a folder that this program wrote."""
    files = read_record(folder / MARK, "tensorboard").get("files")
    if not isinstance(files, list):
        return []
    return [name for name in files if isinstance(name, str) and FILE_NAME.fullmatch(name)]


def write_epoch(path: Path, row: dict[str, Any], wall_time: float) -> None:
    """Write the event file of an epoch, atomically."""
    import tensorflow as tf

    values = [
        tf.compat.v1.Summary.Value(tag=key, simple_value=value)
        for key, value in row.items()
        if key != "epoch" and value is not None
    ]
    events = (
        tf.compat.v1.Event(file_version="brain.Event:2", wall_time=wall_time),
        tf.compat.v1.Event(
            summary=tf.compat.v1.Summary(value=values), step=row["epoch"], wall_time=wall_time
        ),
    )
    # Of another name at first: TensorBoard reads whatever has "tfevents" in its name.
    whole = path.with_name(f"{RESERVED}.epoch")
    try:
        with atomic_write(whole) as partial, tf.io.TFRecordWriter(str(partial)) as writer:
            for event in events:
                writer.write(event.SerializeToString())
    except tf.errors.OpError as error:
        raise UserError(f"{path} could not be written: {error.message}.") from None
    whole.replace(path)
