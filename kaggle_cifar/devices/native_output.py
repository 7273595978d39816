"""What native code prints to standard error: shown if TensorFlow fails, and errors always."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# Lines of native code below the level of an error, and the one about messages before its log opens.
INFORMATION = re.compile(rb"[IW]\d{4} |WARNING: All log messages before absl")
PRINT_AT_END = "import sys; text = sys.stdin.buffer.read(); sys.stderr.buffer.write(text)"


@contextmanager
def native_output_held_back() -> Iterator[None]:
    """Hold back what native code prints to standard error; print it if the block fails.

    Another process holds it, so it is printed even if native code aborts this process.
    """
    reading, writing = os.pipe()
    # -I -S: it starts in some 20 ms. Ctrl-C must not interrupt it.
    command = [sys.executable, "-I", "-S", "-c", PRINT_AT_END]
    holder = subprocess.Popen(command, stdin=reading, start_new_session=True)
    os.close(reading)
    failed = False
    try:
        # Its end closes the last end of the pipe, so that the holder prints and ends.
        with _standard_error_to(writing):
            os.close(writing)
            try:
                yield
            except Exception:
                failed = True
                raise
            finally:
                if not failed:
                    holder.kill()
    finally:
        holder.wait()


@contextmanager
def native_information_discarded() -> Iterator[None]:
    """Discard the messages of native code that are no errors, and print the others afterwards.

    TensorFlow 2.20 prints them in spite of its log level.
    """
    with tempfile.TemporaryFile() as printed:
        try:
            with _standard_error_to(printed.fileno()):
                yield
        finally:
            printed.seek(0)
            os.write(2, b"".join(line for line in printed if not INFORMATION.match(line)))


@contextmanager
def _standard_error_to(descriptor: int) -> Iterator[None]:
    """Send what is printed to standard error, by native code too, to another open file."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
