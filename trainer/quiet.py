"""Silence for libraries that print hundreds of lines from C++, past every Python logger."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache


def hush_tensorflow() -> None:
    """Must run before TensorFlow is imported; a user's own setting wins."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")


@cache
def start_tensorflow() -> None:
    """Import it and run one operation, so that all it says at its start is said here, unheard."""
    with no_chatter():
        import tensorflow as tf

        tf.constant(0).numpy()


@contextmanager
def no_chatter() -> Iterator[None]:
    """Catch what this process writes to its standard outputs; show it only where the block fails."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 1)
        os.dup2(caught.fileno(), 2)
        failed = True
        try:
            with redirect_stdout(io.StringIO()):
                yield
            failed = False
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, held in zip((1, 2), kept, strict=True):
                os.dup2(held, number)
                os.close(held)
            if failed:
                caught.seek(0)
                sys.stderr.write(caught.read().decode(errors="replace")[-4000:])
