"""The daemon as systemd starts it: a process with a notify socket, a real broker, and a camera that comes and goes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from edge.places import PACKAGE
from tests.edge.bundles import make_bundle
from tests.edge.notified import Listening, listening
from tests.edge.test_cli import make_clip
from tests.edge.tpu import CC, FakeTpu, make_tpu_bundle, needs_cc
from tests.mosquitto import Broker, find_mosquitto, subscribed, wait_until

EDGE = (sys.executable, "-m", "edge")
LONG_S = 40.0  # for what takes seconds on an idle machine: models are loaded, cameras tried again


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Asked for before ``systemd``: Mosquitto, too, says READY where it finds a socket for it."""
    one = Broker(tmp_path).start()
    yield one
    one.kill()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listening]:
    with listening(tmp_path, monkeypatch, watchdog_s=15) as one:
        yield one


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "tiny")


class Daemon:
    """``edge run`` in a process of its own; killed at the end of the block, should it still live."""

    def __init__(self, folder: Path, config: str, *argv: str, command: Sequence[str] = EDGE) -> None:
        (folder / "config.toml").write_text(config)
        command = [*command, "run", "--config", str(folder / "config.toml"), *argv]
        self._log = (folder / "log").open("w+")
        self._process = subprocess.Popen(command, cwd=PACKAGE.parent, stdout=subprocess.DEVNULL, stderr=self._log)

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def ended(self, timeout_s: float) -> int:
        return self._process.wait(timeout_s)

    def log(self) -> str:
        return Path(self._log.name).read_text()


def script(folder: Path, *steps: str, head: str = "fps = 10\nsize = [160, 120]") -> str:
    path = folder / "camera.toml"
    path.write_text("\n".join([head, *(f"[[step]]\n{step}" for step in steps)]))
    return f"scripted:{path}"


def config(bundle: Path, source: str, sink: str) -> str:
    return (
        f"[device]\nname = 'door'\n[camera]\nsource = '{source}'\n[detector]\nname = 'centerface'\n"
        f"[classifier]\nbundle = '{bundle}'\n[publish]\nsinks = ['{sink}']\n"
    )


def status() -> dict[str, Any]:
    """As somebody logged in at the board asks for it."""
    done = subprocess.run(
        [sys.executable, "-m", "edge", "status", "--json"], cwd=PACKAGE.parent, stdout=subprocess.PIPE, check=True
    )
    fields: dict[str, Any] = json.loads(done.stdout)
    return fields


def soon(is_true: Callable[[], bool], what: str) -> None:
    wait_until(is_true, what, LONG_S)


@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
def test_a_camera_that_is_absent_comes_breaks_off_and_comes_back_never_ends_the_daemon(
    tmp_path: Path, broker: Broker, systemd: Listening, bundle: Path
) -> None:
    source = script(
        tmp_path,
        "do = 'absent'\ncount = 2",
        "do = 'frames'\ncount = 30",
        "do = 'exception'\nmessage = 'cable pulled'",
        "do = 'frames'\ncount = 9000",
    )
    with (
        subscribed(broker.port, "mask-edge/door/health") as dashboard,
        Daemon(tmp_path, config(bundle, source, f"mqtt://127.0.0.1:{broker.port}")) as daemon,
    ):
        soon(lambda: systemd.count("READY=1") == 1, "READY, though there is no camera")
        assert status()["reasons"] == ["camera_absent"]

        def cameras() -> list[str]:
            told = [json.loads(payload)["camera"] for payload in dashboard.payloads("health")]
            return [one for index, one in enumerate(told) if index == 0 or told[index - 1] != one]

        soon(lambda: cameras() == ["absent", "ok", "lost", "ok"], "absent, ok, lost, ok")
        now = status()
        assert (now["status"], now["camera"], now["seq"]) == ("ok", "ok", 0)
        assert now["last_ack_s"] < 60
        assert systemd.count("WATCHDOG=1") >= 1
        daemon.signal(signal.SIGTERM)
        assert daemon.ended(10) == 0
        assert systemd.heard()[-1] == "STOPPING=1"
        assert "Traceback" not in daemon.log()
    assert list(Path(os.environ["RUNTIME_DIRECTORY"]).iterdir()) == []


def test_a_reload_with_somebody_at_the_door_loses_no_event(tmp_path: Path, systemd: Listening, bundle: Path) -> None:
    make_clip(tmp_path / "door.avi", frames=600)
    source = script(tmp_path, "do = 'frames'\ncount = 600", head="fps = 10\nframes = 'door.avi'")
    events = tmp_path / "events.jsonl"
    other = make_bundle(tmp_path / "other", name="other")
    with Daemon(tmp_path, config(bundle, source, f"jsonl:{events}")) as daemon:
        soon(lambda: events.exists() and events.read_text().count("\n") == 1, "somebody is decided")
        (tmp_path / "config.toml").write_text("[camera]\nsauce = 1\n")
        daemon.signal(signal.SIGHUP)
        soon(lambda: "reload: refused" in daemon.log(), "a bad configuration is refused")
        assert status()["reasons"] == ["reload_refused"]
        (tmp_path / "config.toml").write_text(config(other, source, f"jsonl:{events}"))
        daemon.signal(signal.SIGHUP)
        soon(lambda: status()["model"].startswith("other@"), "the other model")
        assert status()["status"] == "ok"
        daemon.signal(signal.SIGTERM)
        assert daemon.ended(10) == 0
    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert [(event["type"], event["seq"], event["person"]) for event in told] == [("decided", 1, 1), ("left", 2, 1)]
    assert [event["model"].split("@")[0] for event in told] == ["tiny", "other"]
    words = [said.splitlines()[0] for said in systemd.heard()]
    marks = [word for word in words if word in ("READY=1", "RELOADING=1", "STOPPING=1")]
    assert marks == ["READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]


def test_a_source_that_cannot_be_meant_ends_a_service_too(tmp_path: Path, systemd: Listening, bundle: Path) -> None:
    with Daemon(tmp_path, config(bundle, "v4l2:video0", f"jsonl:{tmp_path}/events")) as daemon:
        assert daemon.ended(LONG_S) == 64
    assert systemd.count("READY=1") == 0


def test_from_a_terminal_a_camera_that_is_not_there_is_66_at_once(tmp_path: Path, bundle: Path) -> None:
    source = script(tmp_path, "do = 'absent'", "do = 'frames'")
    began_s = time.monotonic()
    with Daemon(tmp_path, config(bundle, source, f"jsonl:{tmp_path}/events")) as daemon:
        assert daemon.ended(LONG_S) == 66
    assert time.monotonic() - began_s < LONG_S


def doing(source: str, bundle: Path, sink: str, policy: str) -> str:
    text = config(bundle, source, sink)
    return text.replace("[classifier]\n", f"[classifier]\naccelerator = '{policy}'\n")


@needs_cc
@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
@pytest.mark.parametrize("policy", [pytest.param("auto", marks=pytest.mark.slow), "edgetpu"])
def test_a_tpu_that_comes_late_aborts_at_work_and_comes_back_never_ends_the_daemon(
    tmp_path: Path, broker: Broker, systemd: Listening, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    tpu = FakeTpu(tmp_path, monkeypatch)
    tpu.does("load-null")
    make_clip(tmp_path / "door.avi", frames=3000)
    source = script(tmp_path, "do = 'frames'\ncount = 3000", head="fps = 10\nframes = 'door.avi'")
    bundle = make_tpu_bundle(tmp_path / "bundle")
    text = doing(source, bundle, f"mqtt://127.0.0.1:{broker.port}", policy)
    with (
        subscribed(broker.port, "mask-edge/door/#") as dashboard,
        Daemon(tmp_path, text, command=[sys.executable, "-c", SOONER]) as daemon,
    ):

        def runtimes() -> list[str]:
            return [json.loads(payload)["runtime"] for payload in dashboard.payloads("info")]

        def reasons() -> list[str]:
            told = dashboard.payloads("health")
            return list(json.loads(told[-1])["reasons"]) if told else ["nothing told"]

        absent = [] if policy == "auto" else ["accelerator_absent"]
        soon(lambda: systemd.count("READY=1") == 1 and reasons() == absent, "READY, though there is no TPU")
        assert not runtimes()[-1].endswith("libedgetpu.so.1")
        tpu.does("ok")
        soon(lambda: runtimes()[-1].endswith(", libedgetpu.so.1") and reasons() == [], "the TPU that came late")
        soon(lambda: len(dashboard.payloads("event")) > 0, "somebody is decided")
        tpu.does("run-abort")
        soon(lambda: reasons() == ["accelerator_lost"], "the loss")
        assert "ended by SIGABRT" in daemon.log()
        assert not runtimes()[-1].endswith("libedgetpu.so.1")
        tpu.does("ok")
        soon(lambda: runtimes()[-1].endswith(", libedgetpu.so.1") and reasons() == [], "it is back")
        daemon.signal(signal.SIGTERM)
        assert daemon.ended(15) == 0
        assert "Traceback" not in daemon.log()
    assert systemd.count("READY=1") == 1


# The daemon itself, but that it looks for a lost Edge TPU every three seconds.
SOONER = """
import sys
from edge import accelerator
from edge.__main__ import main
accelerator.RETRY_MAX_S.update(auto=3.0, edgetpu=3.0)
sys.exit(main(sys.argv[1:]))
"""
HANG_C = """#include <unistd.h>
void hang(void) { for (;;) pause(); }
"""
# A native call that holds Python's lock and never returns, in the place of the runtime's own.
HANGS = """
import ctypes, os, sys
from edge import interpreter
from edge.__main__ import main
run = interpreter.Interpreter.run
library = ctypes.PyDLL(sys.argv.pop(1))
def hanging(self, batch):
    if os.path.exists(os.environ["HANG_NOW"]):
        library.hang()
    return run(self, batch)
interpreter.Interpreter.run = hanging
sys.exit(main(sys.argv[1:]))
"""


@needs_cc
def test_a_native_call_that_hangs_in_the_daemon_itself_ends_its_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: Path
) -> None:
    assert CC is not None
    (tmp_path / "hang.c").write_text(HANG_C)
    subprocess.run([CC, "-shared", "-fPIC", "-o", tmp_path / "hang.so", tmp_path / "hang.c"], check=True)
    monkeypatch.setenv("HANG_NOW", str(tmp_path / "now"))
    make_clip(tmp_path / "door.avi", frames=3000)
    source = script(tmp_path, "do = 'frames'\ncount = 3000", head="fps = 10\nframes = 'door.avi'")
    with listening(tmp_path, monkeypatch, watchdog_s=3) as systemd:
        command = [sys.executable, "-c", HANGS, str(tmp_path / "hang.so")]
        with Daemon(tmp_path, config(bundle, source, f"jsonl:{tmp_path}/events"), command=command) as daemon:
            soon(lambda: systemd.count("WATCHDOG=1") >= 3, "signs of life")
            (tmp_path / "now").touch()
            time.sleep(2)  # for a frame that is on its way
            fed = systemd.count("WATCHDOG=1")
            time.sleep(4)  # longer than WatchdogSec
            assert systemd.count("WATCHDOG=1") == fed
            daemon.signal(signal.SIGABRT)  # as systemd does then
            assert daemon.ended(5) == -signal.SIGABRT
