"""A training's history as the event files that TensorBoard reads."""

from pathlib import Path
from typing import Any

from kaggle_cifar.errors import UserError
from kaggle_cifar.files import atomic_write
from kaggle_cifar.ownership import RESERVED

# TensorBoard reads each file whose name has "tfevents" in it, and writes none with this ending.
FILES = "events.out.tfevents.*.kaggle-cifar"


def write_events(folder: Path, history: list[dict[str, Any]], started: float) -> None:
    """Write the scalars of each epoch that has no file in `folder` yet; their step is the epoch.

    `started` is the time of the training's start, in seconds since 1970; an epoch's time is that
    and the seconds of training up to its end, however often the training was interrupted.

    An epoch has a file of its own, so that a TensorBoard that looks on never meets a changed or a
    deleted one. They are written without `tf.summary.scalar`, which wants the package tensorboard.

    Raises
    ------
    UserError
        When a file cannot be written.
    """
    if len(history) == 1:  # the files that are there are of a training before this one
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
    whole = path.with_name(f"{RESERVED}.epoch")  # a name that TensorBoard does not read
    try:
        with atomic_write(whole) as partial, tf.io.TFRecordWriter(str(partial)) as writer:
            for event in events:
                writer.write(event.SerializeToString())
    except tf.errors.OpError as error:
        raise UserError(f"{path} could not be written: {error.message}.") from None
    whole.replace(path)
