"""The status file as somebody logged in at the board meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.__main__ import main
from edge.board import Throttled
from edge.health import Facts, OutboxFacts, as_object, judge
from edge.living import Process, is_alive, started, this_process
from edge.models.trial import Trial, standing
from edge.places import PACKAGE
from edge.status import FILE, FRESH_S, WRITER, StatusFile, places, read_status, table

Captured = pytest.CaptureFixture[str]
FACTS = Facts(
    camera="black",
    fps=14.9,
    frame_age_s=0.1,
    outbox=OutboxFacts(12, 400.0, 3, None),
    last_ack_s=2.0,
    model="mask-mnv2@3f9ac2d1e0b7",
    temperature_c=56.2,
    throttled=Throttled((), ("under_voltage",)),
    clock="synced",
    rss_mb=151.3,
    uptime_s=3 * 86_400.0,
)


def status(**changes: Any) -> dict[str, Any]:
    return {**as_object(judge(FACTS)), "seq": 1734, "models": None, **changes}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's daemon writes; there is no system's daemon."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    monkeypatch.setattr("edge.status.SYSTEM_RUNTIME", tmp_path / "none")
    return tmp_path / "run"


def test_the_json_is_the_file_s_object(folder: Path, capsys: Captured) -> None:
    StatusFile(folder).write(status())
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == status()


def test_the_table_says_what_is_wrong_and_what_to_do(folder: Path, capsys: Captured) -> None:
    StatusFile(folder).write(status())
    assert main(["status"]) == 0
    assert capsys.readouterr().out == (
        "status      degraded\n"
        "  camera_black       the picture is black: light at the door? something over the lens?\n"
        "camera      black, 14.9 frames/s, last frame 0.1 s ago\n"
        "model       mask-mnv2@3f9ac2d1e0b7\n"
        "broker      acknowledged 2.0 s ago\n"
        "outbox      12 events wait, the oldest for 7 minutes; 3 dropped, an unknown number lost\n"
        "last event  number 1734\n"
        "board       56.2 C, not throttled (since boot: under_voltage)\n"
        "clock       synced\n"
        "running     3 days, 151.3 MiB\n"
    )


def test_a_board_that_tells_nothing_and_a_run_without_a_broker_have_a_table_too() -> None:
    bare = status(outbox=None, last_ack_s=None, temperature_c=None, throttled=None, frame_age_s=None, reasons=[])
    text = table(bare)
    assert "no thermometer" in text
    assert "broker      none\noutbox      none" in text
    assert "no frame yet" in text


def test_the_latest_trial_has_a_line_of_its_own() -> None:
    trial = standing(Trial("new@0123456789ab", "old@0123456789ab", None, spent_s=60.0, is_at_work=True))
    assert "trial       new@0123456789ab on trial for 540 s more; before it old@0123456789ab\n" in table(
        status(trial=trial)
    )
    over = {**trial, "state": "rolled_back", "why": "it takes 300 ms a face"}
    assert "trial       new@0123456789ab given up: it takes 300 ms a face\n" in table(status(trial=over))


def test_a_reason_of_a_later_version_is_shown_without_words() -> None:
    assert "\n  lens_on_fire\n" in table(status(reasons=["lens_on_fire"]))


def test_without_a_daemon_it_is_69(folder: Path, capsys: Captured) -> None:
    assert main(["status"]) == 69
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"edge: no daemon tells its status at {folder / FILE} or ")
    assert err.count("\n") == 1


WRITES: str = """
import sys, time
from pathlib import Path
from edge.status import StatusFile
from tests.edge.test_status import status
StatusFile(Path(sys.argv[1])).write(status())
print("written", flush=True)
time.sleep(600)
"""


@pytest.fixture
def daemon(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, that has written its status and lives."""
    command = [sys.executable, "-c", WRITES, str(folder)]
    with subprocess.Popen(command, cwd=PACKAGE.parent, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        yield process
        process.kill()


def test_another_process_s_status_is_believed_while_it_lives(daemon: subprocess.Popen[str], capsys: Captured) -> None:
    assert main(["status"]) == 0
    assert capsys.readouterr().out.startswith("status      degraded\n")


@pytest.mark.parametrize("is_buried", [False, True])
def test_at_once_after_kill_9_it_is_69(
    daemon: subprocess.Popen[str], folder: Path, capsys: Captured, is_buried: bool
) -> None:
    daemon.kill()
    os.waitid(os.P_PID, daemon.pid, os.WEXITED | os.WNOWAIT)  # dead; its number is taken until its parent looked
    if is_buried:
        daemon.wait()
    assert main(["status", "--json"]) == 69
    out, err = capsys.readouterr()
    assert out == ""
    assert f"no daemon runs: process {daemon.pid}, which wrote {folder / FILE}, was killed or crashed" in err
    assert err.count("\n") == 1


def test_one_that_lives_and_is_silent_is_69_and_says_for_how_long(
    daemon: subprocess.Popen[str], folder: Path, capsys: Captured
) -> None:
    daemon.send_signal(signal.SIGSTOP)
    rewrite(folder, at_mono_s=-FRESH_S - 60)
    assert main(["status"]) == 69
    assert f"process {daemon.pid} lives, and has not written {folder / FILE} for 90 s" in capsys.readouterr().err


def test_a_clock_that_is_set_changes_nothing(daemon: subprocess.Popen[str], folder: Path) -> None:
    os.utime(folder / FILE, (0, 0))
    assert main(["status"]) == 0


def test_a_number_that_another_process_has_now_is_not_taken_for_the_daemon(
    daemon: subprocess.Popen[str], folder: Path, capsys: Captured
) -> None:
    rewrite(folder, started=1)
    assert main(["status"]) == 69
    assert "no daemon runs" in capsys.readouterr().err


def rewrite(folder: Path, **changes: Any) -> None:
    """at_mono_s: seconds from when it was written; else the value itself."""
    fields = json.loads((folder / FILE).read_text())
    by = fields[WRITER]
    if "at_mono_s" in changes:
        changes["at_mono_s"] += by["at_mono_s"]
    (folder / FILE).write_text(json.dumps({**fields, WRITER: {**by, **changes}}))


def test_where_proc_shows_no_other_user_s_process_its_number_must_do(tmp_path: Path) -> None:
    """As with ``hidepid=``: what is not in /proc is not for that dead."""
    mine = this_process()
    assert started(mine.pid, tmp_path) is None
    assert is_alive(Process(mine.pid, None))
    assert is_alive(Process(1, None))  # root's, whoever runs this


def test_a_process_s_name_may_hold_brackets_and_spaces(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_text("7 (a) S 9 (b) S " + " ".join(str(n) for n in range(4, 53)))
    assert started(7, tmp_path) == 22


def test_a_file_of_garbage_is_69(folder: Path, capsys: Captured) -> None:
    folder.mkdir()
    (folder / FILE).write_text("{")
    assert main(["status"]) == 69
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", '{"status":"ok"}', '{"status":5,"reasons":7}', json.dumps(status())]
    + [json.dumps({**status(), WRITER: by}) for by in (5, {}, {"pid": 10**30, "started": 0})],
)
def test_a_file_of_another_version_is_69(folder: Path, capsys: Captured, text: str) -> None:
    folder.mkdir()
    (folder / FILE).write_text(text)
    assert main(["status"]) == 69
    assert "restart the daemon" in capsys.readouterr().err


def test_of_two_runs_in_one_folder_the_first_is_told_of_until_it_ends(
    folder: Path, capsys: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> int:
        assert main(["status", "--json"]) == 0
        return int(json.loads(capsys.readouterr().out)["seq"])

    caplog.set_level("INFO")
    one, other = StatusFile(folder), StatusFile(folder)
    one.write(status(seq=1))
    other.write(status(seq=2))
    other.write(status(seq=3))
    assert told() == 1
    assert caplog.text.count("another run tells its status") == 1
    other.remove()
    assert told() == 1
    one.remove()
    assert main(["status"]) == 69
    other.write(status(seq=4))
    assert told() == 4
    other.remove()
    assert main(["status"]) == 69


def test_a_run_that_was_killed_holds_the_folder_no_longer(folder: Path, capsys: Captured) -> None:
    program = (
        "import os, pathlib, sys; from edge.status import StatusFile\n"
        "StatusFile(pathlib.Path(sys.argv[1])).write({'seq': 1}); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], cwd=PACKAGE.parent, check=False)
    assert (done.returncode, (folder / FILE).exists()) == (-9, True)
    StatusFile(folder).write(status(seq=5))
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["seq"] == 5


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_this_user_may_not_read_is_77(folder: Path, capsys: Captured) -> None:
    StatusFile(folder).write(status())
    (folder / FILE).chmod(0)
    assert main(["status"]) == 77
    assert "add it to the group mask-edge" in capsys.readouterr().err


def test_of_two_daemons_the_one_that_lives_is_told_of(daemon: subprocess.Popen[str], folder: Path) -> None:
    mine = folder.parent / "mine"
    StatusFile(mine).write(status(seq=2))
    os.utime(mine / FILE, (0, 0))  # the older word
    assert read_status([mine / FILE, folder / FILE])["seq"] == 1734
    daemon.kill()
    daemon.wait()
    assert read_status([mine / FILE, folder / FILE])["seq"] == 2


def test_a_user_s_shell_finds_the_system_s_daemon(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert folder.parent / "none" / FILE in places()


def test_the_file_is_whole_at_every_moment_and_never_for_everybody(folder: Path) -> None:
    file = StatusFile(folder)
    before = os.umask(0o077)
    try:
        file.write(status(seq=1))
        first = (folder / FILE).stat()
        file.write(status(seq=2))
    finally:
        os.umask(before)
    second = (folder / FILE).stat()
    assert second.st_ino != first.st_ino  # another file took its place
    assert second.st_mode & 0o777 == 0o640
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_where_there_is_no_runtime_folder_nothing_is_written() -> None:
    StatusFile(None).write(status())
    StatusFile(None).remove()
