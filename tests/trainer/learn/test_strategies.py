"""Training over several devices and several processes, for real: logical CPU devices, workers on this machine."""

import json
import os
import random
import socket
import subprocess
import sys
from contextlib import suppress
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
    import keras
    from keras import layers
name, devices, recipe, steps = sys.argv[1], int(sys.argv[2]), sys.argv[3], 3
if devices > 1:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
from trainer.learn.learner import Learner
from trainer.learn.recipes import baseline_cnn, mobilenet_v2
from trainer.learn.runs import Settings
from trainer.learn.strategies import open_strategy, shard
strategy = open_strategy(name)
side = 32 if recipe == "mobilenet_v2" else 150
with strategy.scope():
    # every device varies or drops in its own way; what is neither varied nor dropped can be compared
    if recipe == "mobilenet_v2":
        keras.utils.set_random_seed(1)
        x = pixels = keras.Input((side, side, 3))
        x = layers.BatchNormalization()(layers.Conv2D(8, 3, strides=2, activation="relu")(x))
        x = layers.Dropout(0.0)(layers.GlobalAveragePooling2D()(x))
        model = keras.Model(pixels, layers.Dense(3)(x))  # of the parts that the lesson knows, compiled in a second
        lesson = mobilenet_v2.lesson(Settings("", None, dropout=0.0), model, steps)
    else:
        model = baseline_cnn.network(seed=1)
        lesson = baseline_cnn.lesson(model, 1e-4, seed=1)
        lesson = replace(lesson, forward=lambda images, _: model(tf.cast(images, tf.float32) / 255, training=True))
learner = Learner(lesson, strategy)
index, workers = shard(strategy)
images = np.random.default_rng(1).integers(0, 255, (8, side, side, 3), np.uint8)
labels = np.arange(8) % 2
own = slice(index * 8 // workers, (index + 1) * 8 // workers)
met = [np.asarray(learner.learn(images[own], labels[own])).tolist() for _ in range(steps)]
sums = {
    "weights": [float(np.abs(v.numpy()).sum()) for v in model.trainable_variables],
    "average": [float(np.abs(v).sum()) for v in learner.average],
}
print(json.dumps({"replicas": strategy.num_replicas_in_sync, "met": met, "rate": learner.rate, **sums}))
"""


def start(name: str, devices: int = 1, recipe: str = "baseline_cnn", **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, name, str(devices), recipe]
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
    assert found["rate"] == pytest.approx(expected["rate"])
    assert found["weights"] == pytest.approx(expected["weights"], rel=1e-3)
    assert found["average"] == pytest.approx(expected["average"], rel=1e-3)


def test_two_devices_learn_what_one_learns(on_one: dict[str, Any]) -> None:
    mirrored = result(start("mirrored", devices=2))
    assert mirrored["replicas"] == 2
    same(mirrored, on_one)


@pytest.mark.slow
def test_two_devices_learn_our_recipe_as_one_does() -> None:
    """With a running average, AdamW and its limit on the norm of all gradients together."""
    one, mirrored = (result(start(name, n, "mobilenet_v2")) for name, n in (("one", 1), ("mirrored", 2)))
    assert mirrored["replicas"] == 2
    assert mirrored["average"] != pytest.approx(mirrored["weights"], rel=1e-6)
    same(mirrored, one)


@pytest.mark.slow
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
    """Below those that the system gives away by itself, so that none is taken before the workers use them."""
    found: list[int] = []
    for port in random.sample(range(20_000, 30_000), 100):
        with suppress(OSError), socket.create_server(("localhost", port)):
            found.append(port)
        if len(found) == count:
            break
    return found


def test_several_machines_without_their_addresses_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UsageError, match=r"needs TF_CONFIG.*cluster"):
        open_strategy("multiworker")
