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
    sys.stderr.flush()
    reading, writing = os.pipe()
    # -I -S: it starts in some 20 ms. Ctrl-C must not interrupt it.
    command = [sys.executable, "-I", "-S", "-c", PRINT_AT_END]
    holder = subprocess.Popen(command, stdin=reading, start_new_session=True)
    os.close(reading)
    kept = os.dup(2)
    os.dup2(writing, 2)
    os.close(writing)
    failed = False
    try:
        yield
    except Exception:
        failed = True
        raise
    finally:
        if not failed:
            holder.kill()
        sys.stderr.flush()
        os.dup2(kept, 2)  # closes the last end of the pipe, so that the holder prints and ends
        os.close(kept)
        holder.wait()


@contextmanager
def native_information_discarded() -> Iterator[None]:
    """Discard the messages of native code that are no errors, and print the others afterwards.

    TensorFlow 2.20 prints them in spite of its log level.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as printed:
        kept = os.dup(2)
        os.dup2(printed.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            printed.seek(0)
            os.write(2, b"".join(line for line in printed if not INFORMATION.match(line)))
