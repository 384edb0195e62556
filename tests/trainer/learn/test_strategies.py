"""Training over several devices and several processes, for real: logical CPU devices, workers on this machine."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import UsageError
from trainer.learn.strategies import open_strategy

SCRIPT = """
import json, sys
from dataclasses import replace
import numpy as np
from trainer.quiet import hush_tensorflow, no_chatter
hush_tensorflow()
with no_chatter():
    import tensorflow as tf
name, devices, steps = sys.argv[1], int(sys.argv[2]), 3
if devices > 1:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
from trainer.learn import network
from trainer.learn.learner import Learner
from trainer.learn.recipes import baseline_cnn
from trainer.learn.strategies import open_strategy, shard
strategy = open_strategy(name)
with strategy.scope():
    model = baseline_cnn.network(seed=1)
    lesson = baseline_cnn.lesson(model, 1e-4, seed=1)
    # every device varies its own pictures in its own way; unvaried ones can be compared
    lesson = replace(lesson, forward=lambda images, _: model(tf.cast(images, tf.float32) / 255, training=True))
learner = Learner(lesson, strategy)
index, workers = shard(strategy)
images = np.random.default_rng(1).integers(0, 255, (8, 150, 150, 3), np.uint8)
labels = np.arange(8) % 2
own = slice(index * 8 // workers, (index + 1) * 8 // workers)
met = [np.asarray(learner.learn(images[own], labels[own])).tolist() for _ in range(steps)]
weights = [float(np.abs(v.numpy()).sum()) for v in model.trainable_variables]
print(json.dumps({"replicas": strategy.num_replicas_in_sync, "met": met, "weights": weights}))
"""


def start(name: str, devices: int = 1, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, name, str(devices)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})


def result(started: subprocess.Popen[str]) -> dict[str, Any]:
    said, _ = started.communicate(timeout=300)
    assert started.returncode == 0
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def on_one() -> dict[str, Any]:
    return result(start("one"))


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Sums over devices round differently, and RMSprop's first steps divide by small numbers."""
    assert np.array(found["met"]) == pytest.approx(np.array(expected["met"]), rel=1e-2)
    assert found["weights"] == pytest.approx(expected["weights"], rel=1e-3)


def test_two_devices_learn_what_one_learns(on_one: dict[str, Any]) -> None:
    mirrored = result(start("mirrored", devices=2))
    assert mirrored["replicas"] == 2
    same(mirrored, on_one)


def test_two_workers_learn_what_one_learns(on_one: dict[str, Any]) -> None:
    workers = [f"localhost:{port}" for port in free_ports(2)]
    configurations = [
        json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": i}}) for i in range(2)
    ]
    started = [start("multiworker", TF_CONFIG=configuration) for configuration in configurations]
    for each in started:
        found = result(each)
        assert found["replicas"] == 2
        same(found, on_one)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def test_several_machines_without_their_addresses_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UsageError, match=r"needs TF_CONFIG.*cluster"):
        open_strategy("multiworker")
