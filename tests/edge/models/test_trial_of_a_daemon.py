"""A new model at a real door: a daemon as systemd runs it, a clip that goes on, and the commands as users type them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.models.activate import Door, GivenUp, NotSeen, activate, rollback
from edge.models.install import install
from edge.models.store import Store, this_store
from edge.models.trial import Trial
from edge.places import PACKAGE
from edge.status import places
from tests.edge.bundles import ENDLESS_MODEL, SLOW_MODEL, looping_bundle, make_bundle
from tests.edge.models.service import Service, serving
from tests.edge.test_cli import make_clip
from tests.mosquitto import wait_until

LONG_S = 60.0


def edge(*argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge", *argv]
    return subprocess.run(
        command, cwd=PACKAGE.parent, capture_output=True, text=True, timeout=120, check=False, **options
    )


def untested(_bundle: Path) -> str:
    return "tested elsewhere"


def soon(is_true: Callable[[], bool], what: str) -> None:
    wait_until(is_true, what, LONG_S)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """One model at work, by the name of first."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path / "etc"))
    store = this_store()
    first = install(make_bundle(tmp_path / "first", name="first"), store, test=untested)
    (store.folder / "active").symlink_to(first)
    return store


@pytest.fixture
def service(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    make_clip(tmp_path / "door.avi", frames=300)
    (tmp_path / "camera.toml").write_text('fps = 10\nframes = "door.avi"\n[[step]]\ndo = "frames"\ncount = 300\n')
    config = (
        f"[device]\nname = 'door'\n[camera]\nsource = 'scripted:{tmp_path}/camera.toml'\n"
        f"[detector]\nname = 'centerface'\n[publish]\nsinks = ['jsonl:{tmp_path}/events.jsonl']\n"
    )
    with serving(tmp_path, config, monkeypatch) as one:
        soon(lambda: serves(Door(store, places())) == store.active(), "the first model at work")
        yield one


@pytest.fixture
def door(store: Store, service: Service) -> Door:
    return Door(store, places())


def status(door: Door) -> dict[str, Any]:
    found = door.status()
    assert found is not None
    return found


def serves(door: Door) -> str | None:
    """None while no daemon runs: it may just be starting."""
    now = door.status()
    return None if now is None else str(now["model"])


def trial(store: Store) -> Trial:
    found = store.trial()
    assert found is not None
    return found


def test_a_good_model_comes_to_work_is_kept_and_can_be_gone_back_from(
    tmp_path: Path, door: Door, service: Service
) -> None:
    bundle = make_bundle(tmp_path / "second", name="second")
    tag = edge("model", "install", str(bundle)).stdout.strip()
    assert tag.startswith("second@")
    done = edge("model", "activate", tag, "--trial", "0.05", "--json")
    assert done.returncode == 0, done.stderr + service.text()
    told = json.loads(done.stdout)
    assert (told["model"], told["state"], told["trial"]["previous"].split("@")[0]) == (tag, "at_work", "first")
    soon(lambda: trial(door.store).state == "kept", "the trial is over")
    assert status(door)["model"] == tag
    back = edge("model", "rollback")
    assert (back.returncode, back.stdout.split("@")[0]) == (0, "first"), back.stderr + service.text()
    assert (door.store.serving(), door.store.previous()) == (status(door)["model"], tag)
    assert service.deaths == []
    assert "Traceback" not in service.text()


def test_a_switch_whose_command_was_cut_off_is_found_by_the_daemon(
    tmp_path: Path, door: Door, service: Service
) -> None:
    tag = install(make_bundle(tmp_path / "second", name="second"), door.store, test=untested)
    door.store.begin(Trial(tag, door.store.serving(), None))  # and nobody waits
    soon(lambda: serves(door) == tag and status(door)["trial"]["at_work"], "the second model at work")


def test_a_model_that_stalls_the_daemon_is_given_up_at_its_restart(
    tmp_path: Path, door: Door, service: Service
) -> None:
    first = door.store.active()
    tag = install(looping_bundle(tmp_path / "endless", "endless", ENDLESS_MODEL), door.store, test=untested)
    with pytest.raises(GivenUp, match="died or hung while it took the model up: first@"):
        activate(tag, door, test=untested)
    assert door.store.active() == first
    soon(lambda: serves(door) == first, "the first model at work again")
    assert service.deaths == [-signal.SIGABRT]
    assert status(door)["trial"]["state"] == "rolled_back"


@pytest.mark.slow
def test_a_slow_model_is_given_up_without_a_restart(tmp_path: Path, door: Door, service: Service) -> None:
    first = door.store.active()
    tag = install(looping_bundle(tmp_path / "slow", "slow", SLOW_MODEL), door.store, test=untested)
    activate(tag, door, test=untested)  # it does come to work
    soon(lambda: trial(door.store).state == "rolled_back", "given up")
    assert "ms a face, the model before took" in trial(door.store).why
    soon(lambda: serves(door) == first, "the first model at work again")
    assert service.deaths == []


def test_a_model_that_was_damaged_on_the_card_never_gets_to_work(tmp_path: Path, door: Door, service: Service) -> None:
    first = door.store.active()
    tag = install(make_bundle(tmp_path / "second", name="second"), door.store, test=untested)
    (door.store.path(tag) / "model.tflite").write_bytes(b"half a mod")
    door.store.begin(Trial(tag, door.store.serving(), None))
    soon(lambda: trial(door.store).state == "rolled_back", "given up")
    assert "model.tflite has 10 bytes instead of" in trial(door.store).why
    assert (door.store.active(), status(door)["model"]) == (first, first)
    assert service.deaths == []


@pytest.mark.slow
def test_two_deaths_of_the_daemon_end_a_trial_and_one_does_not(tmp_path: Path, door: Door, service: Service) -> None:
    first = door.store.active()
    tag = install(make_bundle(tmp_path / "second", name="second"), door.store, test=untested)
    activate(tag, door, test=untested)
    service.signal(signal.SIGKILL)
    soon(lambda: len(service.deaths) == 1 and trial(door.store).restarts == 1, "one death is counted")

    soon(lambda: serves(door) == tag and status(door)["trial"]["restarts"] == 1, "at work again")
    service.signal(signal.SIGKILL)
    soon(lambda: trial(door.store).state == "rolled_back", "given up")
    assert trial(door.store).why == "the daemon died or hung 2 times within the trial"
    soon(lambda: serves(door) == first, "the first model at work again")
    assert door.store.active() == first


def test_a_trial_ended_by_hand_puts_the_old_model_to_work(tmp_path: Path, door: Door, service: Service) -> None:
    first = door.store.active()
    tag = install(make_bundle(tmp_path / "second", name="second"), door.store, test=untested)
    activate(tag, door, test=untested)
    assert rollback(door, test=untested).model == first
    assert (status(door)["model"], trial(door.store).why) == (first, "by hand, with 'edge model rollback'")


@pytest.mark.slow
def test_a_daemon_that_was_given_its_model_is_not_claimed_to_use_another(
    tmp_path: Path, door: Door, service: Service
) -> None:
    tag = install(make_bundle(tmp_path / "second", name="second"), door.store, test=untested)
    (tmp_path / "config.toml").write_text(f"[classifier]\nbundle = '{tmp_path}/first'\n")
    done = edge("model", "activate", tag, "--config", str(tmp_path / "config.toml"), "--json")
    assert done.returncode == 78
    assert "so the active model is not used: empty that key" in done.stderr
    assert (json.loads(done.stdout)["state"], json.loads(done.stdout)["exit_code"]) == ("refused", 78)
    assert door.store.active() != tag


@pytest.mark.slow
def test_a_daemon_that_never_takes_it_up_is_told_of_and_nothing_is_claimed(
    tmp_path: Path, door: Door, service: Service
) -> None:
    tag = install(make_bundle(tmp_path / "second", name="second"), door.store, test=untested)
    service.signal(signal.SIGSTOP)
    try:
        with pytest.raises(NotSeen, match="was not seen at work"):
            Door(door.store, places(), sleep=lambda _s: None, clock=iter(range(0, 10_000, 40)).__next__).await_work(
                tag, 60
            )
    finally:
        service.signal(signal.SIGCONT)
