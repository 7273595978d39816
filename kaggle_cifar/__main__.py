"""The entry point, which handles Ctrl-C before the slow imports."""

import contextlib
import os
import signal
import sys
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT  # the exit status that shells give


def main() -> None:
    """Run the command line; Ctrl-C during the imports ends the process at once."""
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_default:  # a background job may have to ignore it
        signal.signal(signal.SIGINT, exit_at_once)
    open_closed_streams()
    provide_home()
    from kaggle_cifar import cli

    interrupts: list[int] = []

    def interrupt(signal_number: int, frame: FrameType | None) -> None:
        interrupts.append(signal_number)
        raise KeyboardInterrupt

    if is_default:
        signal.signal(signal.SIGINT, interrupt)
    try:
        cli.main()
    except Exception:
        if not interrupts:  # a library may turn the interrupt into another error
            raise
        exit_at_once(signal.SIGINT, None)


def exit_at_once(signal_number: int, frame: FrameType | None) -> None:
    """Exit without cleaning up, because nothing has to be saved."""
    os.write(2, b"Stopped.\n")
    os._exit(INTERRUPTED)


def open_closed_streams() -> None:
    """Connect standard streams that are closed (`>&-`) to the null device.

    Otherwise the next opened file gets their descriptor, and what is printed.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest descriptor, which is this one
        if getattr(sys, name) is None:
            mode = "r" if descriptor == 0 else "w"
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def provide_home() -> None:
    """Create a temporary home for this process if the system knows no home for its user.

    Otherwise Keras and the kaggle client would create a folder named `~` in the working folder.
    """
    if os.path.expanduser("~") != "~":  # noqa: PTH111 - `Path.home` raises
        return
    import atexit
    import shutil
    import tempfile

    with contextlib.suppress(OSError):  # without it, the libraries use their own defaults
        home = tempfile.mkdtemp(prefix="kaggle-cifar-home-")
        os.environ["HOME"] = home
        atexit.register(shutil.rmtree, home, ignore_errors=True)


if __name__ == "__main__":
    main()
