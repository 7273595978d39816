"""Load weights from an HDF5 file that may come from anywhere."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import regular_file

if TYPE_CHECKING:
    import h5py
    import keras


class LinkedWeightsError(UserError):
    """A file of weights refers to other data; `path` is the file, `name` the part of it."""

    def __init__(self, path: Path, name: str, kind: str) -> None:
        super().__init__(
            f"Refusing to load {path}: its part {name} is {kind}, which could read other files. "
            "This program never writes one. Restore the file, or move "
            f"{path.parent} away and train the run again."
        )
        self.path, self.name = path, name


class WeightsError(UserError):
    """A file is corrupt or does not fit the network; `path` is the file."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} does not hold weights of this network ({reason}). Restore the file, or move "
            f"{path.parent} away and train the run again."
        )
        self.path = path


def load_weights(model: "keras.Model", path: Path) -> None:
    """Load an HDF5 file of weights into a network, reading no other file.

    Raises
    ------
    LinkedWeightsError
        When a part of the file is a link, or its data is in another file.
    WeightsError
        When the file is corrupt, holds something else, or does not fit the network.
    """
    check_weights(path)
    with damage_explained(path), warnings.catch_warnings(action="ignore"):
        model.load_weights(path)  # warns of missing weights, which raise an error as well


def check_weights(path: Path) -> None:
    """Check that an HDF5 file is whole and refers to no other file; its arrays are not read.

    Raises
    ------
    LinkedWeightsError
        When a part of the file is a link, or its data is in another file.
    WeightsError
        When the file is cut off or holds something else.
    """
    regular_file(path)
    with damage_explained(path):
        check_links(path)


@contextmanager
def damage_explained(path: Path) -> Iterator[None]:
    """Raise a WeightsError in place of what HDF5 and Keras raise for a corrupt file."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # nearly anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(path, reason) from error


def check_links(path: Path) -> None:
    """Raise a LinkedWeightsError unless all data of an HDF5 file is in the file itself.

    Some versions of Keras follow links.
    """
    import h5py

    with h5py.File(path, "r") as file:
        if found := next(references(file), None):
            raise LinkedWeightsError(path, *found)


def references(file: "h5py.File") -> Iterator[tuple[str, str]]:
    """Yield the name and the kind of each part of an HDF5 file that refers to other data."""
    import h5py

    groups, seen = [file["/"]], set()
    while groups:
        group = groups.pop()
        for key in group:
            name = f"{group.name.rstrip('/')}/{key}"
            # Read the link's type without following it. h5py has no class for some types.
            kind = group.id.links.get_info(key.encode("utf-8", "surrogateescape")).type
            if kind == h5py.h5l.TYPE_EXTERNAL:
                yield name, "a link to another file"
                continue
            if kind != h5py.h5l.TYPE_HARD:
                yield name, "a link"
                continue
            part = group[key]
            if isinstance(part, h5py.Group):
                address = h5py.h5o.get_info(part.id).addr
                if address not in seen:  # groups may contain each other
                    seen.add(address)
                    groups.append(part)
            elif isinstance(part, h5py.Dataset):
                if part.external:
                    yield name, "data in another file"
                elif part.is_virtual:
                    yield name, "a virtual dataset"
