"""A new model on a booted machine: the unit's own sandbox and watchdog, and the commands as root types them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.models.watch import BOOT_ID
from tests.edge.bundles import ENDLESS_MODEL, looping_bundle
from tests.service.machine import BOOT_S, UNIT, Listener, Machine, books, booted, booting, listening, up
from tests.service.rootfs import ROOT, missing

WHY_NOT = missing()
pytestmark = [pytest.mark.service, pytest.mark.skipif(WHY_NOT is not None, reason=f"make test-service {WHY_NOT}")]
LONG_S = 180.0
BOOT = "/etc/boot_id"  # of the machine under test


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with booted(tmp_path_factory.mktemp("machine")) as one:
        shutil.copytree(ROOT / "models" / "mask-mnv2", one.root / "srv/second")
        manifest = json.loads((one.root / "srv/second/bundle.json").read_text())
        (one.root / "srv/second/bundle.json").write_text(json.dumps({**manifest, "name": "second"}))
        looping_bundle(one.root / "srv/endless", "endless", ENDLESS_MODEL)
        new_boot(one.root)
        overrides = one.root / f"etc/systemd/system/{UNIT}.d"
        overrides.mkdir(parents=True, exist_ok=True)
        (overrides / "boot.conf").write_text(f"[Service]\nBindReadOnlyPaths={BOOT}:{BOOT_ID}\n")
        one.run("systemctl", "daemon-reload")
        one.run("systemctl", "start", UNIT)
        one.seconds_until(one.is_active, "active", BOOT_S)
        yield one


def new_boot(root: Path) -> None:
    """A container has its host's kernel, and a unit with a /proc of its own the host's boot id. Not on a board."""
    (root / BOOT.lstrip("/")).write_text(f"{uuid.uuid4()}\n")


@pytest.fixture(scope="module")
def listener(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    with listening(machine, tmp_path_factory.mktemp("heard") / "record") as one:
        yield one


def status(machine: Machine) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(machine.run("edge", "status", "--json"))
    return found


def soon(machine: Machine, is_true: Callable[[], bool], what: str) -> float:
    def holds() -> bool:
        try:
            return is_true()
        except AssertionError:  # the daemon is just starting
            return False

    return machine.seconds_until(holds, what, LONG_S)


def test_root_installs_as_the_daemon_s_user(machine: Machine) -> None:
    tag = machine.run("edge", "model", "install", "/srv/second")
    assert tag.startswith("second@")
    owners = machine.run("sh", "-c", "stat -c %U:%G /var/lib/mask-edge/models /var/lib/mask-edge/models/*")
    assert set(owners.splitlines()) == {"mask-edge:mask-edge"}


def test_a_model_is_made_active_while_events_go_on(machine: Machine, listener: Listener) -> None:
    machine.seconds_until(lambda: books(listener.events()).held >= 2, "two events", 60)
    pid, tag = machine.pid(), machine.run("edge", "model", "install", "/srv/second")
    said = json.loads(machine.run("edge", "model", "activate", tag, "--trial", "5", "--json"))
    assert (said["state"], said["trial"]["state"]) == ("at_work", "on_trial")
    machine.seconds_until(lambda: listener.events()[-1]["model"] == tag, "an event names it", 60)
    found = books(listener.events())
    assert (found.lost, found.again, machine.pid()) == (0, 0, pid)


def test_killed_twice_within_the_trial_the_door_goes_back(machine: Machine, listener: Listener) -> None:
    for deaths in (1, 2):
        pid = machine.pid()
        machine.signal("KILL")
        soon(machine, lambda pid=pid: machine.pid() not in (None, pid), "another process")  # type: ignore[misc]
        soon(machine, lambda deaths=deaths: status(machine)["trial"]["restarts"] == deaths, "counted")  # type: ignore[misc]
    soon(machine, lambda: status(machine)["model"].startswith("mask-mnv2@"), "the old model")
    assert status(machine)["trial"]["why"] == "the daemon died or hung 2 times within the trial"


def test_a_model_that_stalls_the_daemon_is_given_up_by_the_door(machine: Machine, listener: Listener) -> None:
    before = books(listener.events()).held
    tag = machine.run("edge", "model", "install", "/srv/endless")
    began_s = time.monotonic()
    said = json.loads(machine.run("sh", "-c", f"edge model activate {tag} --wait 100 --json || true"))
    print(f"back after {time.monotonic() - began_s:.0f} s: {said['why']}")
    assert (said["state"], said["exit_code"]) == ("rolled_back", 65)
    soon(machine, lambda: status(machine)["model"].startswith("mask-mnv2@"), "the old model")
    machine.seconds_until(lambda: books(listener.events()).held > before + 2, "events go on", LONG_S)
    assert books(listener.events()).lost == 0
    assert "Traceback" not in machine.journal()


def test_a_user_of_no_rights_changes_nothing(machine: Machine) -> None:
    nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    said = machine.run(*nobody, "sh", "-c", "STATE_DIRECTORY=/var/lib/mask-edge edge model rollback 2>&1; echo $?")
    assert said.endswith("77"), said
    assert (machine.disk.folder / "models/trial.json").exists()


def test_power_cuts_within_the_trial_are_no_failed_starts(machine: Machine, tmp_path: Path) -> None:
    """kill -9 of the whole container, three times; the page cache survives that, which test_order_on_disk is for."""
    tag = machine.run("edge", "model", "install", "/srv/second")
    machine.run("edge", "model", "activate", tag)
    os.kill(machine.leader, signal.SIGKILL)
    for cut in range(3):
        with booted_again(machine, tmp_path / str(cut)) as again:
            again.run("systemctl", "start", UNIT)
            soon(again, lambda again=again: status(again)["trial"]["at_work"], "at work")  # type: ignore[misc]
            trial = status(again)["trial"]
            assert (trial["model"], trial["state"], trial["restarts"]) == (tag, "on_trial", 0)
            os.kill(again.leader, signal.SIGKILL)


def is_held(root: Path) -> bool:
    """Does a container still run on it?"""
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"-D\0{root}\0".encode() in line.read_bytes():
                return True
    return False


@contextlib.contextmanager
def booted_again(machine: Machine, console: Path) -> Iterator[Machine]:
    """The same disks after the power came back, which takes until the container's own process is gone."""
    machine.seconds_until(lambda: not is_held(machine.root), "the container gone", BOOT_S)
    new_boot(machine.root)
    with console.open("wb") as log:
        nspawn = subprocess.Popen(booting(machine.root, machine.disk), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield up(machine.root, nspawn, console, machine.disk)
        finally:
            nspawn.kill()
            nspawn.wait()
