"""No pixel leaves the process unless somebody switched that on: not to a file, not to a broker."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from edge.opencv import cv2
from edge.records import ImageU8
from tests.mosquitto import Broker, Received, find_mosquitto, subscribed, wait_until

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")

ROOT: Final = Path(__file__).resolve().parent.parent
CLIP: Final = ROOT / "demo" / "door.mp4"
MAGIC: Final = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"BM6", b"ftyp", b"II*\0")
LARGEST_EVENT_BYTES: Final = 600
LARGEST_OTHER_BYTES: Final = 8_000  # discovery
PIXELS: Final = 12  # in a row, as they lie in memory: 36 bytes
# Tells on stderr of every file that is opened for writing and every host that is dialled, whoever does it.
WITNESS: Final = """
import os, sys
def witness(name, args):
    if name == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        os.write(2, f"WITNESS wrote {args[0]}\\n".encode())
    if name == "sqlite3.connect":
        os.write(2, f"WITNESS wrote {args[0]}\\n".encode())
    if name == "socket.connect" and sys._getframe(1).f_code.co_name != "_socketpair_compat":  # paho's pipe to itself
        os.write(2, f"WITNESS dialled {args[1]}\\n".encode())
sys.addaudithook(witness)
from edge.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


# Every way by which bytes leave a process or are shared with another.
WRITES: Final = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg")
NEVER: Final = (
    *("sendfile", "splice", "tee", "vmsplice", "copy_file_range", "process_vm_writev", "io_uring_setup"),
    *("memfd_create", "shmget", "mq_open"),
)
CALLS: Final = ("open", "openat", "openat2", "creat", "connect", "bind", "listen", "mmap", "execve", *WRITES, *NEVER)
STRACE: Final = shutil.which("strace")
needs_strace = pytest.mark.skipif(STRACE is None, reason="strace is not installed: apt install strace")


class Trace:
    """What the kernel was asked for by every thread and child, C and Python alike: the libraries, too."""

    def __init__(self, path: Path) -> None:
        lines = [line.partition(" ")[2].strip() for line in path.read_text().splitlines()]
        self.calls = [(line.partition("(")[0], line) for line in lines if not line.startswith(("<...", "+++", "---"))]

    @staticmethod
    def command(path: Path) -> list[str]:
        only = f"trace={','.join(CALLS)}"
        return ["strace", "-f", "--seccomp-bpf", "-qq", "-xx", "-s", "4000000", "-e", only, "-o", str(path)]

    def of(self, *names: str) -> list[str]:
        return [line for name, line in self.calls if name in names]

    def written(self) -> list[bytes]:
        """What each call handed over, whatever to: a file, a socket, a pipe."""
        return [b"".join(strings(line)) for line in self.of(*WRITES)]

    def opened_for_writing(self) -> set[Path]:
        flags = re.compile("O_WRONLY|O_RDWR|O_CREAT|O_APPEND|O_TRUNC")
        found = [strings(line)[0] for line in self.of("open", "openat", "openat2") if flags.search(line)]
        return {Path(os.fsdecode(path)) for path in (*found, *(strings(line)[0] for line in self.of("creat")))}


def strings(line: str) -> list[bytes]:
    """Those that stand in a line of strace -xx."""
    assert '"...' not in line, "strace cut a string"
    return [bytes.fromhex(found.replace("\\x", "")) for found in re.findall(r'"((?:\\x[0-9a-f]{2})*)"', line)]


class Run:
    """`edge run` over the demo's clip: what a subscriber of everything got, and what was written and dialled."""

    def __init__(self, folder: Path, config: str) -> None:
        self.folder = folder
        self.state, self.runtime = folder / "state", folder / "runtime"
        self.runtime.mkdir()
        (folder / "config.toml").write_text(config)
        broker = Broker(folder).start()
        try:
            with subscribed(broker.port) as subscriber:
                self._run(broker.port)
                wait_until(lambda: subscriber.payloads("/availability")[-1:] == [b"offline"], "offline")
                self.received: list[Received] = list(subscriber.received)
        finally:
            broker.kill()
        self.port = broker.port

    def owns(self, path: Path) -> bool:
        """Whether this is in its state or its runtime folder."""
        return path.is_relative_to(self.state) or path.is_relative_to(self.runtime)

    def _run(self, port: int) -> None:
        argv = ["run", "--config", str(self.folder / "config.toml"), "--source", str(CLIP), "--pace", "max"]
        env = {**os.environ, "STATE_DIRECTORY": str(self.state), "RUNTIME_DIRECTORY": str(self.runtime)}
        watched = Trace.command(self.folder / "trace") if STRACE else []
        done = subprocess.run(
            [*watched, sys.executable, "-c", WITNESS, *argv, "--sink", f"mqtt://127.0.0.1:{port}"],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        self.log = done.stderr
        self.trace = Trace(self.folder / "trace") if STRACE else None
        self.wrote = {Path(p) for p in _told(done.stderr, "wrote")}
        self.dialled = set(_told(done.stderr, "dialled"))

    def of(self, ending: str) -> list[Received]:
        return [message for message in self.received if message.topic.endswith(ending)]

    def decided(self) -> list[dict[str, Any]]:
        events = [json.loads(message.payload) for message in self.of("/event")]
        return [event for event in events if event["type"] == "decided"]


def _told(log: str, what: str) -> Iterator[str]:
    start = f"WITNESS {what} "
    return (line.removeprefix(start) for line in log.splitlines() if line.startswith(start))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("plain"), "")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("shown"), "[mqtt]\nsnapshot = true\n")


def frame_at(index: int) -> ImageU8:
    clip = cv2.VideoCapture(str(CLIP))
    clip.set(cv2.CAP_PROP_POS_FRAMES, index)
    is_read, image = clip.read()
    assert is_read
    return np.ascontiguousarray(image, np.uint8)


def holds_pixels(content: bytes, frame: ImageU8, box: list[int]) -> bool:
    """Is there any run of a face's pixels in these bytes, as a crop or a frame would hold it?"""
    x, y, width, height = box
    rows = frame[max(0, y) : y + height, max(0, x) : x + width - PIXELS]
    return any(row[i : i + PIXELS].tobytes() in content for row in rows for i in range(0, len(row), PIXELS))


def test_by_default_no_topic_carries_a_picture(plain: Run) -> None:
    assert plain.decided()
    assert not [message.topic for message in plain.received if "private" in message.topic]
    for message in plain.received:
        assert not any(magic in message.payload for magic in MAGIC), message.topic
        limit = LARGEST_EVENT_BYTES if message.topic.endswith("/event") else LARGEST_OTHER_BYTES
        assert len(message.payload) <= limit, message.topic
        message.payload.decode()  # words, all of it


def test_by_default_only_the_broker_is_dialled_and_only_its_own_two_folders_written(plain: Run) -> None:
    assert plain.dialled == {f"('127.0.0.1', {plain.port})"}
    elsewhere = [path for path in plain.wrote if not plain.owns(path)]
    assert [path for path in elsewhere if path != Path("/dev/null")] == []


def test_by_default_no_file_holds_a_picture_or_a_pixel(plain: Run) -> None:
    files = [path for folder in (plain.state, plain.runtime) for path in folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"outbox.sqlite", "today.json"}
    contents = [path.read_bytes() for path in files] + [plain.log.encode()]
    frames = [(frame_at(event["frame"]), event["box"]) for event in plain.decided()]
    for content in contents:
        assert not any(magic in content for magic in MAGIC[:2])
        assert not any(holds_pixels(content, frame, box) for frame, box in frames)


@needs_strace
def test_by_default_the_kernel_is_asked_for_no_other_file_and_no_other_host(plain: Run) -> None:
    assert plain.trace is not None
    assert [
        path for path in plain.trace.opened_for_writing() if not plain.owns(path) and path != Path("/dev/null")
    ] == []
    dialled = [line for line in plain.trace.of("connect") if "AF_UNIX" not in line]
    pipes = [line for line in dialled if f"htons({plain.port})" not in line]  # paho's, to itself
    assert len(dialled) > len(pipes) == len(plain.trace.of("listen")) <= 1
    assert all(strings(line) == [b"127.0.0.1"] for line in dialled)
    assert all("sin_port=htons(0)" in line for line in plain.trace.of("bind"))
    assert plain.trace.of(*NEVER) == []
    assert len(plain.trace.of("execve")) == 1
    shared = [line for line in plain.trace.of("mmap") if "MAP_SHARED" in line and "PROT_WRITE" in line]
    assert len(shared) <= 2  # SQLite's index of its journal: outbox.sqlite-shm


@needs_strace
def test_by_default_no_byte_that_is_handed_to_the_kernel_belongs_to_a_picture(plain: Run) -> None:
    assert plain.trace is not None
    frames = [(frame_at(event["frame"]), event["box"]) for event in plain.decided()]
    written = plain.trace.written()
    assert len(written) > 50
    for content in written:
        assert not any(magic in content for magic in MAGIC[:2])
        assert not any(holds_pixels(content, frame, box) for frame, box in frames)


@needs_strace
def test_switched_on_a_picture_is_handed_to_the_kernel_once_a_decision(shown: Run) -> None:
    assert shown.trace is not None
    assert sum(content.count(MAGIC[0]) for content in shown.trace.written()) == len(shown.decided())
    assert shown.trace.of(*NEVER) == []


@needs_strace
def test_this_test_would_see_what_a_child_writes(tmp_path: Path) -> None:
    """By way of a shell, of which Python's own hooks know nothing."""
    line = f"printf '\\377\\330\\377 face' > {tmp_path / 'leak'}"
    subprocess.run(
        [*Trace.command(tmp_path / "trace"), sys.executable, "-c", f"import os; os.system({line!r})"], check=True
    )
    trace = Trace(tmp_path / "trace")
    assert tmp_path / "leak" in trace.opened_for_writing()
    assert b"\xff\xd8\xff face" in trace.written()
    assert len(trace.of("execve")) == 2


def test_a_run_that_is_aborted_leaves_no_core(tmp_path: Path) -> None:
    """Outside of the unit, too. The limit is inherited: a camera's child has it as well."""
    ulimit = ["sh", "-c", 'ulimit -S -c unlimited; exec "$@"', "sh"]
    argv = ["run", "--source", str(CLIP), "--sink", f"jsonl:{tmp_path / 'events'}", "--pace", "live"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*ulimit, sys.executable, "-m", "edge", *argv], cwd=tmp_path, env=env)
    wait_until(lambda: (tmp_path / "events").exists() and (tmp_path / "events").stat().st_size > 0, "an event", 60)
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    process.send_signal(signal.SIGABRT)
    assert process.wait(30) == -signal.SIGABRT
    assert re.search(r"Max core file size +0 +0 ", limits)
    assert [path.name for path in tmp_path.iterdir()] == ["events"]


def test_this_test_would_find_pixels(plain: Run) -> None:
    event = plain.decided()[0]
    frame, (x, y, width, height) = frame_at(event["frame"]), event["box"]
    crop = frame[y : y + height, x : x + width]
    assert holds_pixels(b"head" + crop.tobytes() + b"tail", frame, event["box"])
    assert not holds_pixels(bytes(100_000), frame, event["box"])


def test_switched_on_there_is_exactly_one_picture_a_decision_on_a_root_of_its_own(shown: Run) -> None:
    pictures = shown.of("/snapshot")
    assert {message.topic for message in pictures} == {f"mask-edge-private/{shown.decided()[0]['device']}/snapshot"}
    assert [dict(m.user_properties)["event"] for m in pictures] == [event["id"] for event in shown.decided()]
    assert not any(message.is_retained for message in pictures)
    for message in pictures:
        assert cv2.imdecode(np.frombuffer(message.payload, np.uint8), cv2.IMREAD_COLOR) is not None
        assert message.content_type == "image/jpeg"


def test_switched_on_no_other_topic_and_no_file_holds_a_picture(shown: Run) -> None:
    others = [message for message in shown.received if not message.topic.endswith("/snapshot")]
    assert not any(magic in message.payload for message in others for magic in MAGIC)
    files = [path for path in shown.state.rglob("*") if path.is_file()]
    assert not any(magic in path.read_bytes() for path in files for magic in MAGIC[:2])
    assert all(shown.owns(path) for path in shown.wrote if path != Path("/dev/null"))


def test_switched_on_is_said_in_the_log(shown: Run, plain: Run) -> None:
    assert "pictures of faces leave this machine" in shown.log
    assert "picture" not in plain.log
