"""Lines of a file, or of stdout: whole, at once, and a clear word when the disk is full."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from edge.errors import ConfigError, DiskError, OutputError, UsageError
from edge.events import Event, EventWriter, decode, encode
from edge.records import Box, Verdict
from edge.sinks import Sink, SinkSettings, check_sink, check_sinks, open_sink

SETTINGS = SinkSettings("door")
ROOT = Path(__file__).parents[3]
CHILD = """
import sys
from edge.sinks import SinkSettings, open_sink
from tests.edge.sinks.test_jsonl import some_events
sink = open_sink(sys.argv[1], SinkSettings("door"))
for event, payload in some_events(int(sys.argv[2])):
    sink.publish(event, payload)
    if not sink.wants_more:
        break
sink.close(0)
print("ended well", file=sys.stderr)
"""


def some_events(count: int) -> list[tuple[Event, bytes]]:
    writer = EventWriter("door", "main", "mask-mnv2@3f9ac2d1e0b7", epoch="abc123")
    verdicts = [Verdict("decided", n + 1, "mask", 0.9, 5) for n in range(count)]
    events = [writer.write(v, box=Box(1, 2, 40, 40), frame=n, t_s=n / 30, utc_s=1e9) for n, v in enumerate(verdicts)]
    return [(event, encode(event)) for event in events]


def publish(sink: Sink, count: int) -> list[bytes]:
    sent = some_events(count)
    for event, payload in sent:
        sink.publish(event, payload)
    return [payload for _, payload in sent]


def test_each_event_is_one_line_of_its_bytes(tmp_path: Path) -> None:
    sink = open_sink(f"jsonl:{tmp_path}/events.jsonl", SETTINGS)
    sent = publish(sink, 3)
    sink.close(0)
    assert (tmp_path / "events.jsonl").read_bytes() == b"".join(payload + b"\n" for payload in sent)


def test_line_can_be_read_before_the_next_comes(tmp_path: Path) -> None:
    sink = open_sink(f"jsonl:{tmp_path}/events.jsonl", SETTINGS)
    [payload] = publish(sink, 1)
    assert (tmp_path / "events.jsonl").read_bytes() == payload + b"\n"
    sink.close(0)


def test_existing_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"{}\n")
    sink = open_sink(f"jsonl:{path}", SETTINGS)
    [payload] = publish(sink, 1)
    sink.close(0)
    assert path.read_bytes() == b"{}\n" + payload + b"\n"


def test_half_a_line_that_a_power_cut_left_does_not_spoil_the_next_event(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"v":1,"id":"do')
    sink = open_sink(f"jsonl:{path}", SETTINGS)
    [payload] = publish(sink, 1)
    sink.close(0)
    assert path.read_bytes().splitlines() == [b'{"v":1,"id":"do', payload]


def test_full_disk_names_the_file_and_how_many_events_it_holds() -> None:
    sink = open_sink("jsonl:/dev/full", SETTINGS)
    with pytest.raises(DiskError, match=r"/dev/full: No space left on device; 0 events") as caught:
        publish(sink, 1)
    assert caught.value.exit_code == 74
    sink.close(0)


def test_disk_that_fills_up_leaves_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    line_bytes = len(some_events(1)[0][1]) + 1
    code = (
        "import resource, signal, sys; sys.dont_write_bytecode = True; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({2 * line_bytes + 50}, {resource.RLIM_INFINITY}))\n"
    )
    done = run_child(code, f"jsonl:{path}", 5)
    assert "2 events of this run were written" in done.stderr.decode()
    assert [decode(line).seq for line in path.read_bytes().splitlines()] == [1, 2]
    assert path.read_bytes().endswith(b"\n")


@pytest.mark.parametrize("where", ["no/such/folder/e.jsonl", "."])
def test_file_that_cannot_be_made_is_named(where: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=str(tmp_path)) as caught:
        open_sink(f"jsonl:{tmp_path}/{where}", SETTINGS)
    assert caught.value.exit_code == 73


def test_sink_without_a_file_says_how_to_name_one() -> None:
    with pytest.raises(UsageError, match="jsonl:PATH"):
        open_sink("jsonl:", SETTINGS)


@pytest.mark.parametrize("spec", ["events.jsonl", "jsonl", "kafka://host", "kafka://me:secret@host", ""])
def test_unknown_sink_is_refused_without_repeating_a_password(spec: str) -> None:
    with pytest.raises(UsageError, match="unknown sink") as caught:
        open_sink(spec, SETTINGS)
    assert "secret" not in str(caught.value)


def test_stdout_takes_the_same_lines() -> None:
    done = run_child("import sys\n", "jsonl:-", 3)
    assert done.stdout.splitlines() == [payload for _, payload in some_events(3)]


def test_reader_that_leaves_ends_it_quietly() -> None:
    pipeline = f'"{sys.executable}" -c "$0" jsonl:- 3000 | head -n 2'
    done = subprocess.run(["bash", "-c", pipeline, CHILD], cwd=ROOT, capture_output=True, check=True, timeout=30)
    assert [decode(line).seq for line in done.stdout.splitlines()] == [1, 2]
    assert done.stderr.decode() == "ended well\n"


def test_full_disk_behind_stdout_is_told_without_a_traceback_at_exit() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, "jsonl:-", "1"], cwd=ROOT, stdout=full, stderr=-1, check=False
        )
    assert "DiskError: cannot write to stdout" in done.stderr.decode()
    assert "Exception ignored" not in done.stderr.decode()


def run_child(before: str, spec: str, count: int) -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-c", before + CHILD, spec, str(count)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, check=False, timeout=30)


def test_pipe_that_nobody_reads_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="nobody reads this pipe"):
        open_sink(f"jsonl:{tmp_path}/pipe", SETTINGS)


def test_file_that_holds_no_events_is_left_alone(tmp_path: Path) -> None:
    clip = tmp_path / "door.mp4"
    clip.write_bytes(b"\0\0\0 ftypisom")
    with pytest.raises(OutputError, match="holds no events"):
        check_sink(f"jsonl:{clip}", SETTINGS)
    assert clip.read_bytes() == b"\0\0\0 ftypisom"


def test_sink_named_twice_is_refused(tmp_path: Path) -> None:
    spec = f"jsonl:{tmp_path}/events"
    with pytest.raises(ConfigError, match="named twice"):
        check_sinks((spec, spec), SETTINGS)
