"""Where steps are computed: one device, those of this machine, or several machines, all by ``tf.distribute``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from edge.errors import Unavailable, UsageError
from trainer.quiet import no_chatter, start_tensorflow

ONE: Final = "one"
MIRRORED: Final = "mirrored"
MULTIWORKER: Final = "multiworker"
Strategy = Any  # tf.distribute.Strategy; TensorFlow is imported late


def open_strategy(name: str) -> Strategy:
    """Must come before TensorFlow's first operation: workers find each other at its start.

    ``one`` is TensorFlow's own choice, a GPU where there is one. ``mirrored`` takes every GPU, else every logical CPU.
    ``multiworker`` reads the cluster from the environment variable TF_CONFIG, as TensorFlow documents it.
    """
    with no_chatter():
        import tensorflow as tf
    if name == MULTIWORKER:
        _refuse_without_cluster()
        with no_chatter():
            return tf.distribute.MultiWorkerMirroredStrategy()
    start_tensorflow()
    if name == MIRRORED:
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        with no_chatter():
            return tf.distribute.MirroredStrategy([d.name for d in devices])
    return tf.distribute.get_strategy()


def _refuse_without_cluster() -> None:
    if worker_number() is None:
        raise UsageError(
            "--strategy multiworker needs TF_CONFIG in the environment of every worker, like "
            '{"cluster":{"worker":["host1:4000","host2:4000"]},"task":{"type":"worker","index":0}}'
        )


def worker_number() -> int | None:
    """Which worker TF_CONFIG says that this process is, counted from 0; None where it says nothing of the kind."""
    try:
        held = json.loads(os.environ.get("TF_CONFIG", ""))
        return int(held["task"]["index"]) if held["cluster"]["worker"] else None
    except (ValueError, KeyError, TypeError):
        return None


def devices_here(strategy: Strategy) -> int:
    """How many devices of this machine take part."""
    return 1 if strategy.num_replicas_in_sync == 1 else len(strategy.extended.worker_devices)


def shard(strategy: Strategy) -> tuple[int, int]:
    """Which worker this process is, counted from 0, and how many there are."""
    workers = strategy.num_replicas_in_sync // devices_here(strategy)
    return (strategy.cluster_resolver.task_id if workers > 1 else 0), workers


@contextmanager
def plain_errors(strategy: Strategy) -> Iterator[None]:
    """TensorFlow's words for too little memory and for a lost worker, as errors that name the remedy."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise Unavailable("not enough memory for a batch: choose a smaller --batch or --input-px") from error
    except tf.errors.OpError as error:
        if shard(strategy)[1] == 1:
            raise
        raise Unavailable("another worker is gone: start all of them again, with --resume") from error
