"""The entry point, which takes Ctrl-C from its first lines on, before slow imports."""

import contextlib
import os
import signal
from typing import Any

INTERRUPTED = 128 + signal.SIGINT  # the exit status that shells give


def main() -> None:
    """Run the command line; a Ctrl-C while it is imported ends the process at once."""
    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_usual:  # a background job may have to ignore it
        signal.signal(signal.SIGINT, end_at_once)
    open_closed_streams()
    provide_home()
    from kaggle_cifar import cli

    interrupts: list[int] = []

    def interrupt(signal_number: int, frame: Any) -> None:
        interrupts.append(signal_number)
        raise KeyboardInterrupt

    if is_usual:
        signal.signal(signal.SIGINT, interrupt)
    try:
        cli.main()
    except Exception:
        if not interrupts:  # a library may have made another error of the interrupt
            raise
        end_at_once(signal.SIGINT, None)


def end_at_once(signal_number: int, frame: Any) -> None:
    """End the process, which has nothing to save."""
    os.write(2, b"Stopped.\n")
    os._exit(INTERRUPTED)


def open_closed_streams() -> None:
    """Lead standard streams that were closed (`>&-`) to nowhere.

    Else the next file that is opened takes their place, and gets what is printed.
    """
    import sys

    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest descriptor, which is this one
        if getattr(sys, name) is None:
            mode = "r" if descriptor == 0 else "w"
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def provide_home() -> None:
    """Give libraries a home for this process if the system knows none for its user.

    Keras and the kaggle client would make a folder named `~` in the working folder.
    """
    if os.path.expanduser("~") != "~":  # noqa: PTH111 - `Path.home` raises
        return
    import atexit
    import shutil
    import tempfile

    with contextlib.suppress(OSError):  # then libraries must do with what they find
        home = tempfile.mkdtemp(prefix="kaggle-cifar-home-")
        os.environ["HOME"] = home
        atexit.register(shutil.rmtree, home, ignore_errors=True)


if __name__ == "__main__":
    main()
