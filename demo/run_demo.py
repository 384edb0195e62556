"""The whole way at one glance: a clip of a door through ``edge run``, its events as an MQTT subscriber gets them.

Starts a broker of its own on a free port of this machine, ``demo/watch.py``, and the daemon; ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

ROOT: Final = Path(__file__).resolve().parent.parent
CLIP: Final = ROOT / "demo" / "door.mp4"
CONFIG: Final = ROOT / "demo" / "door.toml"
WHOLE_DEMO_S: Final = 55.0  # the promise is a minute
START_S: Final = 10.0  # for a broker or a subscriber to be ready
LAST_EVENTS_S: Final = 5.0  # for the subscriber to get what the broker has
STOP_S: Final = 3.0  # for a child to end when asked
EX_UNAVAILABLE: Final = 69
EX_SOFTWARE: Final = 70
EX_INTERRUPTED: Final = 130


class DemoError(Exception):
    """One line for the user, and the exit code."""

    def __init__(self, message: str, code: int = EX_SOFTWARE) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Children:
    """Every process we start; none outlives us. The last one started is ended first."""

    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, argv: list[str], log: Path | None = None, state: Path | None = None) -> subprocess.Popen[bytes]:
        """log: where its stdout and stderr go; None is where ours go. state: its state folder, None for this user's."""
        sys.stdout.flush()
        with contextlib.ExitStack() as stack:
            out = None if log is None else stack.enter_context(log.open("wb"))
            # A session of its own: Ctrl-C reaches us alone, and we end the children in order.
            env = os.environ if state is None else {**os.environ, "STATE_DIRECTORY": str(state)}
            child = subprocess.Popen(
                argv, cwd=ROOT, env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
            )
        self.started.append(child)
        return child

    def end(self) -> None:
        while self.started:
            child = self.started.pop()
            child.terminate()
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    if options.serve_embedded:
        asyncio.run(serve_embedded(options.serve_embedded))
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    children = Children()
    try:
        with tempfile.TemporaryDirectory(prefix="mask-edge-demo-") as folder:
            try:
                return demo(options, children, Path(folder))
            finally:
                children.end()
    except DemoError as err:
        print(f"demo: {err}", file=sys.stderr)
        return err.code
    except KeyboardInterrupt:
        return EX_INTERRUPTED


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run_demo", description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--source", type=Path, default=CLIP, help="another clip than demo/door.mp4")
    parser.add_argument("--broker", choices=("auto", "mosquitto", "embedded"), default="auto")
    parser.add_argument("--serve-embedded", type=int, metavar="PORT", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def demo(options: argparse.Namespace, children: Children, folder: Path) -> int:
    """Start everything, wait for the end, tell. Returns the exit code."""
    if not options.source.is_file():
        raise DemoError(f"{options.source} is not there: make it with demo/make_clip.py", 66)
    deadline = time.monotonic() + WHOLE_DEMO_S
    port = free_port()
    broker = start_broker(options.broker, port, children, folder)
    record = folder / "events.jsonl"
    watch = start_watch(port, children, record)
    print(f"broker      {broker}, 127.0.0.1:{port}")
    print("subscriber  demo/watch.py (knows nothing of edge), topic #")
    print(f"door        edge run --source {shown(options.source)} --sink mqtt://127.0.0.1:{port} --pace max\n")
    run_edge(options.source, port, children, folder, deadline)
    with contextlib.suppress(subprocess.TimeoutExpired):
        watch.wait(LAST_EVENTS_S)
    events = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    print(f"\n{summary(events, broker)}")
    missing = missing_from(events)
    if missing:
        raise DemoError(f"the subscriber got no {' and no '.join(missing)}: something is wrong")
    return 0


def run_edge(source: Path, port: int, children: Children, folder: Path, deadline: float) -> None:
    """folder: for its log and its outbox."""
    log = folder / "edge.log"
    sink = f"mqtt://127.0.0.1:{port}"
    asked = ["--config", str(CONFIG), "--source", str(source), "--sink", sink, "--pace", "max"]
    edge = children.start([sys.executable, "-m", "edge", "run", *asked], log, folder / "state")
    try:
        code = edge.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise DemoError(f"edge run did not end within {WHOLE_DEMO_S:.0f} s:\n{tail(log)}") from None
    if code:
        raise DemoError(f"edge run ended with exit code {code}:\n{tail(log)}", code if code > 0 else EX_SOFTWARE)


def start_watch(port: int, children: Children, record: Path) -> subprocess.Popen[bytes]:
    """The subscriber; returns once the broker has its subscription, so that it misses nothing."""
    argv = [
        str(ROOT / "demo" / "watch.py"),
        "--port",
        str(port),
        "--topic",
        "#",
        "--record",
        str(record),
        "--until-offline",
    ]
    watch = children.start([sys.executable, *argv])
    wait_for(record.exists, watch, "the subscriber did not get through to the broker")
    return watch


def start_broker(wanted: str, port: int, children: Children, folder: Path) -> str:
    """Mosquitto where it is installed, else the broker that a package brings; returns its name."""
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    log = folder / "broker.log"
    if mosquitto and wanted != "embedded":
        config = folder / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
        name, argv = "Mosquitto", [mosquitto, "-c", str(config)]
    elif importlib.util.find_spec("amqtt") and wanted != "mosquitto":
        name, argv = "amqtt", [sys.executable, __file__, "--serve-embedded", str(port)]
    else:
        raise DemoError("no MQTT broker: install Debian's mosquitto, or amqtt into the .venv", EX_UNAVAILABLE)
    broker = children.start(argv, log)
    wait_for(lambda: is_open(port), broker, f"{name} did not start", log)
    return name


async def serve_embedded(port: int) -> None:
    """amqtt on a port of this machine, open to everybody on it, until SIGTERM."""
    from amqtt.broker import Broker

    anybody = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    listener = {"type": "tcp", "bind": f"127.0.0.1:{port}"}
    broker = Broker({"listeners": {"default": listener}, "plugins": anybody})
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await broker.start()
    await stop.wait()
    await broker.shutdown()


def wait_for(is_true: Callable[[], bool], child: subprocess.Popen[bytes], what: str, log: Path | None = None) -> None:
    deadline = time.monotonic() + START_S
    while not is_true():
        if child.poll() is not None or time.monotonic() > deadline:
            raise DemoError(what + (f":\n{tail(log)}" if log else ""), EX_UNAVAILABLE)
        time.sleep(0.02)


def summary(events: list[dict[str, Any]], broker: str) -> str:
    """One paragraph: who was decided what, who changed, and how the events came."""
    decided = [event for event in events if event["type"] == "decided"]
    counts = Counter(spoken(event) for event in decided)
    who = "; ".join(
        f"{count} {what} ({persons(e for e in decided if spoken(e) == what)})" for what, count in counts.most_common()
    )
    changes = "; ".join(
        f"person {e['person']} from {e['was']} to {e['label']}" for e in events if e["type"] == "changed"
    )
    many = "person was" if len(decided) == 1 else "persons were"
    return (
        f"{len(decided)} {many} decided: {who or 'none'}. Changed afterwards: {changes or 'nobody'}. "
        f"{len(events)} events came by MQTT through {broker}{numbering(events)}.{doubt(events)}"
    )


def doubt(events: list[dict[str, Any]]) -> str:
    is_unsynced = any(event.get("clock") != "synced" for event in events)
    return " (? behind a time: this machine's clock is not synchronised, and the events say so.)" if is_unsynced else ""


def spoken(event: dict[str, Any]) -> str:
    return "mask worn wrongly" if event.get("worn") else {"no_mask": "no mask"}.get(event["label"], event["label"])


def persons(events: Any) -> str:
    return "person " + ", ".join(str(event["person"]) for event in events)


def numbering(events: list[dict[str, Any]]) -> str:
    has_gap = [event["seq"] for event in events] != list(range(1, len(events) + 1))
    return (
        ", NOT numbered without a gap" if has_gap else f", numbered 1 to {len(events)} without a gap" if events else ""
    )


def missing_from(events: list[dict[str, Any]]) -> list[str]:
    """What the clip must give and did not."""
    decided = {event["label"] for event in events if event["type"] == "decided"}
    missing = [f"{label!r} decided" for label in ("mask", "no_mask") if label not in decided]
    return missing + ([] if any(event["type"] == "changed" for event in events) else ["'changed'"])


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
