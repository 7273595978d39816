"""A history as event files for TensorBoard."""

from pathlib import Path
from typing import Any

from kaggle_cifar.errors import UserError
from kaggle_cifar.files import atomic_write
from kaggle_cifar.ownership import RESERVED

# TensorBoard reads every file with "tfevents" in its name; it writes none with this suffix.
FILES = "events.out.tfevents.*.kaggle-cifar"


class EventFileError(UserError):
    """An event file could not be written; `path` is the file."""

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(f"{path} could not be written: {fault}.")
        self.path = path


def write_events(folder: Path, history: list[dict[str, Any]], started: float) -> None:
    """Write the scalars of each epoch that has no file in `folder` yet.

    A step is an epoch. `started` is when the training started, in seconds since 1970. The time of
    an epoch is that plus the seconds of training up to its end; interruptions do not count.

    Each epoch has its own file, so a running TensorBoard never sees a changed or deleted file.
    `tf.summary.scalar` would need the package tensorboard.

    Raises
    ------
    EventFileError
        If a file cannot be written.
    """
    if len(history) == 1:  # existing files belong to an earlier training
        for path in folder.glob(FILES):
            path.unlink()
    seconds = 0.0
    for row in history:
        seconds += row["seconds"]
        path = folder / FILES.replace("*", f"{row['epoch']:06}")
        if not path.exists():
            write_epoch(path, row, started + seconds)


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
    whole = path.with_name(f"{RESERVED}.epoch")  # not read by TensorBoard
    try:
        with atomic_write(whole) as partial, tf.io.TFRecordWriter(str(partial)) as writer:
            for event in events:
                writer.write(event.SerializeToString())
    except tf.errors.OpError as error:
        raise EventFileError(path, error.message) from None
    whole.replace(path)
