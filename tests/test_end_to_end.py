"""The whole way with the real parts: a clip, a detector, the shipped model, a broker, and what a subscriber gets."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.mosquitto import Broker, subscribed

ROOT: Final = Path(__file__).resolve().parent.parent
CLIP: Final = ROOT / "demo" / "door.mp4"
UNSTEADY: Final = ("id", "seq", "time")  # what the contract lets differ between two runs


def run_clip(state: Path, *sinks: str) -> str:
    """`edge run` over the demo's clip; returns its stdout. state: where its outbox is."""
    asked = [word for sink in sinks for word in ("--sink", sink)]
    command = [sys.executable, "-m", "edge", "run", "--source", str(CLIP), "--pace", "max", *asked]
    env = {**os.environ, "STATE_DIRECTORY": str(state)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], list[bytes]]:
    """The same run's events as lines of a file, and as an independent subscriber got them from Mosquitto."""
    folder = tmp_path_factory.mktemp("run")
    broker = Broker(folder).start()
    try:
        with subscribed(broker.port) as subscriber:
            run_clip(folder / "state", f"jsonl:{folder}/events.jsonl", f"mqtt://127.0.0.1:{broker.port}")
            lines = (folder / "events.jsonl").read_bytes().splitlines()
            return lines, subscriber.wait_for(len(lines), "/event")
    finally:
        broker.kill()


@pytest.fixture(scope="module")
def events(delivered: tuple[list[bytes], list[bytes]]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in delivered[0]]


def test_a_subscriber_gets_every_line_of_the_file_byte_for_byte(delivered: tuple[list[bytes], list[bytes]]) -> None:
    lines, payloads = delivered
    assert lines
    assert payloads == lines


def test_everyone_in_the_clip_is_decided_once_and_right(events: list[dict[str, Any]]) -> None:
    decided = [(e["t"], e["label"]) for e in events if e["type"] == "decided"]
    with (ROOT / "demo" / "truth.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    first = {row["person"]: row for row in reversed(rows)}
    due = sorted((float(row["t_enter"]), row["label"]) for row in first.values())
    assert [label for _, label in decided] == [label for _, label in due]
    assert all(0 <= told - entered <= 1.5 for (told, _), (entered, _) in zip(decided, due, strict=True))


def test_the_mask_that_is_put_on_is_told_once(events: list[dict[str, Any]]) -> None:
    assert [(e["was"], e["label"]) for e in events if e["type"] == "changed"] == [("no_mask", "mask")]


def test_everyone_leaves(events: list[dict[str, Any]]) -> None:
    ids = {kind: {e["person"] for e in events if e["type"] == kind} for kind in ("decided", "left")}
    assert ids["decided"] == ids["left"]


def test_seq_counts_from_one_without_gaps(events: list[dict[str, Any]]) -> None:
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))


def test_a_second_run_gives_the_same_events(events: list[dict[str, Any]], tmp_path: Path) -> None:
    def steady(event: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in event.items() if key not in UNSTEADY}

    again = [json.loads(line) for line in run_clip(tmp_path, "jsonl:-").splitlines()]
    assert [steady(e) for e in again] == [steady(e) for e in events]
