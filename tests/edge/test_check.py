"""`edge check`: every finding at once, each with its remedy, with the real model, broker, disk and daemon."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from edge import check as checks
from edge.__main__ import main
from edge.check import check, first_frame, look_at_camera, look_at_state
from edge.config import Config, parse_config
from edge.edgetpu import EdgeTpu
from edge.errors import ConfigError, DataError, InputMissing, Refused, Unavailable
from edge.findings import Finding, worst, wrong
from edge.outbox import FILE, open_outbox
from edge.outbox.holder import holder
from edge.places import PACKAGE
from tests.edge.bundles import make_bundle
from tests.edge.sinks.certificates import make_authority, make_certificate
from tests.edge.tpu import FakeTpu, make_tpu_bundle, needs_cc
from tests.mosquitto import Broker, find_mosquitto, free_port, subscribed, wait_until

ROOT = PACKAGE.parent
SCHEMA = json.loads((ROOT / "docs" / "schema" / "check-v1.json").read_text())
CLIP = ROOT / "demo" / "door.mp4"
Captured = pytest.CaptureFixture[str]
needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")


@pytest.fixture(autouse=True)
def clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine's is."""
    monkeypatch.setattr(checks, "is_synced", lambda: True)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    one = Broker(tmp_path).start()
    yield one
    one.kill()


def door(tmp_path: Path, *sinks: str, mqtt: str = "", more: str = "") -> Path:
    """A config that is right but for what a test makes wrong; the tiny bundle, the demo's clip."""
    bundle = tmp_path / "tiny"
    if not (bundle / "bundle.json").exists():
        make_bundle(bundle)
    path = tmp_path / "config.toml"
    path.write_text(
        f"[camera]\nsource = '{CLIP}'\n[classifier]\nbundle = '{bundle}'\n[detector]\nname = 'centerface'\n"
        f"[device]\nname = 'door'\n[publish]\nsinks = {json.dumps(sinks or (f'jsonl:{tmp_path}/events',))}\n"
        f"[mqtt]\n{mqtt}\n{more}"
    )
    return path


def errors(path: Path) -> dict[str, Finding]:
    """What is wrong, by part."""
    return {finding.part: finding for finding in check(path) if finding.level == "error"}


def about(path: Path, part: str) -> Finding:
    found = [finding for finding in check(path) if finding.part == part]
    assert len(found) == 1
    return found[0]


# --- the command ---


def test_a_door_that_is_well_is_0_and_says_what_was_looked_at(tmp_path: Path, capsys: Captured) -> None:
    assert main(["check", "--config", str(door(tmp_path))]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[:2] for line in out.splitlines()[:-1]] == [
        ["ok", part] for part in ("config", "clock", "model", "detector", "state", "camera", "sink")
    ]
    assert (out.splitlines()[-1], err) == ("all is well", "")


def test_json_is_one_object_of_the_schema_with_the_exit_code_of_the_process(tmp_path: Path, capsys: Captured) -> None:
    code = main(["check", "--json", "--config", str(door(tmp_path, "mqtt://127.0.0.1:1", "carrier-pigeon:"))])
    answer = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(SCHEMA).validate(answer)
    assert answer["exit_code"] == code == 78
    assert [f["exit_code"] for f in answer["findings"] if f["part"] == "sink"] == [69, 78]


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        "[camera]\nfps = 0\nsource = 'v4l2:/dev/none'\nsauce = 1\n[classifier]\nbundle = '/none'\n"
        "[publish]\nsinks = ['mqtt://127.0.0.1:1', 'jsonl:/none/events']\n"
    )
    assert main(["check", "--config", str(path)]) == 78
    out = capsys.readouterr().out
    for part in ("camera.fps must be", "camera.sauce is not", "/dev/none is not there", "no model bundle at /none"):
        assert part in out
    assert "connection refused" in out
    assert "/none/events cannot be made" in out
    assert out.splitlines()[-1] == "6 errors"


def test_every_error_comes_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[camera]\nfps = 0\nsource = '/none.mp4'\n[publish]\nsinks = ['mqtt://127.0.0.1:1', 'x:y']\n")
    found = [finding for finding in check(path) if finding.level == "error"]
    assert len(found) == 4
    assert all(finding.remedy for finding in found)


def test_the_table_is_plain_text_line_by_line(tmp_path: Path, capsys: Captured) -> None:
    main(["check", "--config", str(door(tmp_path, "mqtt://127.0.0.1:1"))])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3].startswith("error    sink      mqtt://127.0.0.1:1: connection refused")
    assert lines[-2].strip().startswith("-> see that it is there")
    assert all(line.isascii() and line.isprintable() for line in lines)


# --- the worst ---


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        ([], 0),
        ([Unavailable], 69),
        ([Unavailable, Refused], 77),
        ([Refused, DataError, Unavailable], 65),
        ([DataError, InputMissing], 66),
        ([InputMissing, ConfigError, Unavailable], 78),
    ],
)
def test_the_exit_code_is_that_of_what_stops_the_daemon_soonest(kinds: list[Any], code: int) -> None:
    assert worst(wrong("camera", "x", kind("x is wrong: mend it"), "") for kind in kinds) == code


def test_a_remedy_with_a_colon_in_it_stays_whole() -> None:
    error = ConfigError("the address holds a password", "write it into a file: mqtt.password_file names it")
    found = wrong("sink", "x", error, "")
    assert (found.what, found.remedy) == (error.what, error.remedy)
    assert str(error) == f"{error.what}: {error.remedy}"


def test_what_is_wrong_with_a_colon_in_it_stays_whole(tmp_path: Path) -> None:
    found = about(door(tmp_path, f"mqtt://127.0.0.1:{free_port()}"), "sink")
    assert found.what.endswith(": connection refused")
    assert found.remedy == "see that it is there and can be reached, or correct publish.sinks"


# --- config and secrets ---


def test_a_config_file_that_is_not_there_does_not_end_the_check(tmp_path: Path) -> None:
    found = list(check(tmp_path / "none.toml"))
    assert (found[0].part, found[0].exit_code, found[0].remedy) == ("config", 66, "name another with --config")
    assert {finding.part for finding in found} == {"config", "clock", "model", "detector", "state", "camera", "sink"}


def test_a_config_file_that_is_not_toml_leads_to_no_finding_about_what_it_does_not_say(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[camera]\nsource = v4l2:/dev/video0\n")
    assert {part: f.exit_code for part, f in errors(path).items()} == {"config": 78}
    left_out = [f.part for f in check(path) if "was not looked at" in f.what]
    assert left_out == ["model", "detector", "camera", "sink"]


@pytest.mark.parametrize(
    "text",
    ["[camera]\nsource = 5\n", "[camera]\nsauce = 'v4l2:/dev/video0'\n", "[camra]\nsource = 'v4l2:/dev/video0'\n"],
)
def test_a_key_that_cannot_be_used_leads_to_no_finding_about_its_default(tmp_path: Path, text: str) -> None:
    path = door(tmp_path)
    path.write_text(path.read_text().replace(f"[camera]\nsource = '{CLIP}'\n", text))
    assert errors(path).keys() == {"config"}
    found = about(path, "camera")
    assert (found.level, found.what) == (
        "warning",
        "the camera was not looked at: camera.source in the config file cannot be used",
    )


def test_sinks_that_cannot_be_used_lead_to_no_finding_about_none(tmp_path: Path) -> None:
    path = door(tmp_path)
    path.write_text(re.sub(r"sinks = .*", "sinks = 'mqtt://localhost'", path.read_text()))
    assert errors(path).keys() == {"config"}
    assert about(path, "sink").which == "publish.sinks"


def test_the_command_lines_source_and_sink_are_looked_at_instead(tmp_path: Path, capsys: Captured) -> None:
    path = door(tmp_path, "mqtt://127.0.0.1:1")
    path.write_text(path.read_text().replace(str(CLIP), "/none.mp4"))
    given = ["--source", str(CLIP), "--sink", f"jsonl:{tmp_path}/events"]
    assert main(["check", "--config", str(path)]) == 66
    assert main(["check", "--config", str(path), *given]) == 0
    path.write_text("no TOML")
    capsys.readouterr()
    assert main(["check", "--config", str(path), *given]) == 78
    out = capsys.readouterr().out
    assert f"{CLIP} gave a frame" in out
    assert f"{tmp_path}/events can be written" in out


@pytest.mark.parametrize(("is_set", "level"), [(True, "ok"), (False, "warning")])
def test_a_clock_that_nobody_sets_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_set: bool, level: str
) -> None:
    monkeypatch.setattr(checks, "is_synced", lambda: is_set)
    found = about(door(tmp_path), "clock")
    assert (found.level, found.exit_code, "unsynced" in found.what) == (level, 0, not is_set)


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
def test_certificates_without_tls_are_78_here_and_at_the_start(tmp_path: Path, capsys: Captured, key: str) -> None:
    path = door(tmp_path, "mqtt://127.0.0.1:1", mqtt=f"{key} = '/etc/mask-edge/some.pem'")
    found = about(path, "sink")
    assert (found.exit_code, found.remedy) == (78, "write mqtts:// (port 8883), or leave these keys empty")
    assert found.what == f"mqtt.{key} is set, but mqtt://127.0.0.1:1 does without TLS"
    capsys.readouterr()
    assert main(["run", "--config", str(path)]) == 78
    assert capsys.readouterr().err.strip().endswith(f"edge: {found.what}: {found.remedy}")


def test_what_is_right_in_a_wrong_config_is_still_looked_at(tmp_path: Path) -> None:
    assert errors(door(tmp_path, more="[track]\nreturn_s = 'long'\n")).keys() == {"config"}


def test_no_password_is_shown(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "password").write_text("geheim")
    path = door(tmp_path, "mqtt://hall:geheim@127.0.0.1", "mqtts://hall@127.0.0.1:1", mqtt="keepalive_s = 1")
    path.write_text(path.read_text().replace(str(CLIP), "rtsp://cam:geheim@127.0.0.1:1/x"))
    assert main(["check", "--config", str(path)]) == 78
    assert main(["check", "--json", "--config", str(path)]) == 78
    out, err = capsys.readouterr()
    assert "geheim" not in out + err
    assert "holds a password" in out


# --- model and detector ---


def test_a_model_that_answers_otherwise_than_where_it_was_made_is_65(tmp_path: Path) -> None:
    expected = {"inputs": [{"file": "green.png", "label": "no_mask", "p_mask": 0.1}]}
    make_bundle(tmp_path / "tiny", {"golden/expected.json": json.dumps(expected).encode()})
    found = about(door(tmp_path), "model")
    assert (found.exit_code, found.remedy) == (65, "do not use it here")
    assert "green.png gives mask" in found.what


def test_a_truncated_model_is_65_and_everything_else_is_looked_at(tmp_path: Path) -> None:
    path = door(tmp_path)
    os.truncate(tmp_path / "tiny" / "model.tflite", 1000)
    found = errors(path)
    assert found.keys() == {"model"}
    assert (found["model"].exit_code, found["model"].remedy) == (65, "copy the bundle again")


def test_a_fault_of_our_own_is_70_and_does_not_hide_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(_config: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(checks, "open_detector", faulty)
    found = list(check(door(tmp_path)))
    assert worst(found) == 70
    assert [finding.part for finding in found if finding.level == "ok"] == [
        "config",
        "clock",
        "model",
        "state",
        "camera",
        "sink",
    ]
    assert "ZeroDivisionError" in caplog.text


# --- the accelerator ---


def wanting(policy: str, path: Path) -> Path:
    path.write_text(path.read_text().replace("[classifier]\n", f"[classifier]\naccelerator = '{policy}'\n"))
    return path


def accelerator(path: Path) -> list[Finding]:
    return [finding for finding in check(path) if finding.which == "classifier.accelerator"]


def test_where_no_accelerator_is_looked_for_nothing_is_said_of_one(tmp_path: Path) -> None:
    assert accelerator(door(tmp_path)) == []


def test_an_edgetpu_that_is_asked_for_and_not_there_is_69_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EdgeTpu.__init__, "__defaults__", ("libedgetpu-that-is-not-here.so.1",))
    make_tpu_bundle(tmp_path / "tiny")
    [found] = accelerator(wanting("edgetpu", door(tmp_path)))
    assert (found.level, found.exit_code, found.remedy) == ("error", 69, "install it as docs/hardware.md says")


def test_an_edgetpu_that_is_asked_for_with_a_bundle_without_a_model_for_it_is_65(tmp_path: Path) -> None:
    [found] = accelerator(wanting("edgetpu", door(tmp_path)))
    assert (found.level, found.exit_code) == ("error", 65)
    assert "trainer export --edgetpu" in found.remedy


@needs_cc
def test_an_edgetpu_is_tried_and_one_that_crashes_crashes_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tpu = FakeTpu(tmp_path, monkeypatch)
    make_tpu_bundle(tmp_path / "tiny")
    path = wanting("edgetpu", door(tmp_path))
    [found] = accelerator(path)
    assert (found.level, found.what.endswith(", libedgetpu.so.1 judges")) == ("ok", True)
    tpu.does("run-segfault")
    [found] = accelerator(path)
    assert (found.exit_code, "SIGSEGV" in found.what) == (69, True)
    assert found.remedy.startswith("see docs/hardware.md")


@needs_cc
def test_the_edgetpu_of_a_running_daemon_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeTpu(tmp_path, monkeypatch).does("load-segfault")
    make_tpu_bundle(tmp_path / "tiny")
    path = wanting("auto", door(tmp_path))
    with contextlib.closing(open_outbox(state(monkeypatch, tmp_path / "state"))):
        [found] = accelerator(path)
    assert found.level == "ok"
    assert "left to the running daemon" in found.what


# --- the state folder ---


def state(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(folder))
    return folder


def test_looking_at_the_state_folder_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = state(monkeypatch, tmp_path / "state")
    folder.mkdir()
    assert about(door(tmp_path), "state").level == "ok"
    assert list(folder.iterdir()) == []


def test_a_state_folder_that_is_not_there_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = state(monkeypatch, tmp_path / "deep" / "state")
    found = about(door(tmp_path), "state")
    assert (found.level, found.what) == ("ok", f"{folder} will be made by the first run")
    assert not folder.exists()


def test_a_state_folder_that_this_user_may_not_write_is_77(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = state(monkeypatch, tmp_path / "state")
    folder.mkdir()

    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refused)  # root may write anywhere
    found = about(door(tmp_path), "state")
    assert (found.exit_code, found.remedy) == (77, "run this as root or as the unit's user")


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_in_place_of_the_state_folder_is_73(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "file").write_text("no folder")
    state(monkeypatch, tmp_path / name)
    found = about(door(tmp_path), "state")
    assert (found.exit_code, found.remedy) == (73, "take it away")


def test_an_outbox_that_a_run_could_not_use_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = state(monkeypatch, tmp_path / "state")
    outbox = open_outbox(folder)
    outbox.put(1, b"waits")
    assert about(door(tmp_path), "state").level == "ok"  # as a daemon holds it
    outbox.close()
    assert about(door(tmp_path), "state").level == "ok"
    (folder / FILE).write_bytes(os.urandom(30_000))
    assert about(door(tmp_path), "state").exit_code == 65
    (folder / FILE).unlink()
    (folder / FILE).mkdir()
    assert about(door(tmp_path), "state").exit_code == 73


@pytest.mark.skipif(os.getuid() != 0 or not Path("/dev/shm").is_dir(), reason="mounts a small disk")
def test_a_full_disk_is_74_and_a_small_one_is_a_warning(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        for size, levels in (("1m", ["ok", "error"]), ("30m", ["ok", "warning"])):
            mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
            if subprocess.run(mount, check=False, capture_output=True).returncode:
                pytest.skip("may not mount")
            found = list(look_at_state(Config(), disk, None))
            assert [finding.level for finding in found] == levels
            assert worst(found) == (74 if size == "1m" else 0)
            assert "outbox.max_events" in found[1].what or "too little" in found[1].what
            subprocess.run(["umount", str(disk)], check=True)
    finally:
        subprocess.run(["umount", str(disk)], check=False, capture_output=True)


# --- the camera, and our own daemon ---


def test_a_camera_that_gives_no_frame_in_its_time_is_69(tmp_path: Path) -> None:
    script = tmp_path / "stalls.toml"
    script.write_text("[[step]]\ndo = 'empty'\ncount = 100\n")
    found = look_at_camera(parse_config({"camera": {"source": f"scripted:{script}", "read_timeout_s": 5}}), None)
    assert found.exit_code == 69
    assert found.what == f"scripted:{script}: no frame within 5 s"
    assert found.remedy.startswith("look after the camera")


def test_an_image_folder_without_images_is_no_source(tmp_path: Path) -> None:
    with pytest.raises((DataError, InputMissing)):
        first_frame(parse_config({"camera": {"source": str(tmp_path)}}))


def test_who_holds_an_outbox_can_be_seen_from_outside(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, edge.outbox as o; one = o.open_outbox(pathlib.Path(sys.argv[1]))\n"
        "print('open', flush=True); sys.stdin.read(); one.close()"
    )
    assert holder(tmp_path) is None
    run = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout
    assert run.stdin
    assert run.stdout.readline() == "open\n"
    before = sorted(tmp_path.iterdir())
    assert holder(tmp_path) == run.pid
    assert sorted(tmp_path.iterdir()) == before
    run.stdin.close()
    run.wait(10)
    wait_until(lambda: holder(tmp_path) is None, "the lock is gone")
    open_outbox(tmp_path).close()


def test_a_camera_that_our_own_daemon_holds_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> None:
        raise Unavailable("v4l2:/dev/video0 cannot be opened: see whether another program holds it")

    monkeypatch.setattr(checks, "open_camera", busy)
    config = parse_config({"camera": {"source": "v4l2:/dev/video0"}})
    assert look_at_camera(config, running=None).exit_code == 69
    found = look_at_camera(config, running=4711)
    assert (found.level, "in use by the running daemon (pid 4711)" in found.what) == ("ok", True)


# --- the broker ---


@needs_mosquitto
def test_a_broker_that_takes_us_is_well_and_hears_nothing(tmp_path: Path, broker: Broker) -> None:
    with subscribed(broker.port) as subscriber:
        found = about(door(tmp_path, f"mqtt://127.0.0.1:{broker.port}"), "sink")
        address = f"mqtt://127.0.0.1:{broker.port}"
        assert found.what == f"{address} lets us in, by MQTT 5; what its rules let us publish is not tried"
        wait_until(lambda: broker.log().count("mask-edge-door-check") >= 2, "it came and went")
        assert subscriber.received == []


@needs_mosquitto
def test_a_check_does_not_throw_a_running_daemon_off_the_broker(tmp_path: Path, broker: Broker) -> None:
    script = tmp_path / "long.toml"
    script.write_text("[[step]]\ndo = 'frames'\ncount = 1000\n")
    address = f"mqtt://127.0.0.1:{broker.port}"
    run = ["run", "--config", str(door(tmp_path)), "--source", f"scripted:{script}", "--sink", address]
    daemon = subprocess.Popen([sys.executable, "-m", "edge", *run], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        with subscribed(broker.port, "+/+/availability") as subscriber:
            wait_until(lambda: subscriber.payloads("availability") == [b"online"], "the daemon is there", 30)
            found = list(check(door(tmp_path, address)))
            assert worst(found) == 0
            assert f"a daemon is running (pid {daemon.pid})" in next(f.what for f in found if f.part == "state")
            assert subscriber.payloads("availability") == [b"online"]
            assert daemon.poll() is None
    finally:
        daemon.terminate()
        daemon.wait(30)


def password_file(tmp_path: Path, password: str) -> str:
    (tmp_path / "password").write_text(password)
    (tmp_path / "password").chmod(0o600)
    return f"password_file = '{tmp_path}/password'"


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Broker]:
    """A broker that knows the user hall only."""
    users = tmp_path / "users"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(users), "hall", "geheim"], check=True, capture_output=True)
    one = Broker(tmp_path, ("allow_anonymous false", f"password_file {users}")).start()
    yield one
    one.kill()


@needs_mosquitto
def test_a_refused_login_is_77_with_its_remedy(tmp_path: Path, locked: Broker) -> None:
    address = f"mqtt://hall@127.0.0.1:{locked.port}"
    right = door(tmp_path, address, mqtt=password_file(tmp_path, "geheim"))
    assert about(right, "sink").level == "ok"
    found = about(door(tmp_path, address, mqtt=password_file(tmp_path, "falsch")), "sink")
    assert (found.exit_code, found.remedy) == (77, "check the user in the address and mqtt.password_file")
    assert "falsch" not in found.what


@needs_mosquitto
def test_a_password_that_only_the_unit_has_is_a_warning(tmp_path: Path, locked: Broker) -> None:
    found = about(door(tmp_path, f"mqtt://hall@127.0.0.1:{locked.port}"), "sink")
    assert (found.level, found.exit_code) == ("warning", 0)
    assert "no password is known here" in found.what


def test_nobody_at_the_port_is_69(tmp_path: Path) -> None:
    found = about(door(tmp_path, f"mqtt://127.0.0.1:{free_port()}"), "sink")
    assert found.exit_code == 69
    assert found.what.endswith("connection refused")


@needs_mosquitto
def test_tls_is_looked_at_too(tmp_path: Path) -> None:
    make_authority(tmp_path)
    make_authority(tmp_path, "other")
    cert, key = make_certificate(tmp_path, "broker", "IP:127.0.0.1")
    tls = ("allow_anonymous true", f"certfile {cert}", f"keyfile {key}")
    one = Broker(tmp_path, tls).start()
    try:
        address = f"mqtts://127.0.0.1:{one.port}"
        assert about(door(tmp_path, address, mqtt=f"ca_file = '{tmp_path}/ca.crt'"), "sink").level == "ok"
        found = about(door(tmp_path, address, mqtt=f"ca_file = '{tmp_path}/other.crt'"), "sink")
        assert (found.exit_code, "certificate is not accepted" in found.what) == (69, True)
        plain = about(door(tmp_path, f"mqtt://127.0.0.1:{one.port}"), "sink")
        assert plain.exit_code == 69
    finally:
        one.kill()


@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed")
def test_a_broker_that_wants_a_certificate_of_ours_says_so_by_tls_1_3_too(tmp_path: Path) -> None:
    make_authority(tmp_path)
    cert, key = make_certificate(tmp_path, "broker", "IP:127.0.0.1")
    own = ("require_certificate true", f"cafile {tmp_path}/ca.crt", "tls_version tlsv1.3")
    one = Broker(tmp_path, ("allow_anonymous true", f"certfile {cert}", f"keyfile {key}", *own)).start()
    try:
        address = f"mqtts://127.0.0.1:{one.port}"
        found = about(door(tmp_path, address, mqtt=f"ca_file = '{tmp_path}/ca.crt'"), "sink")
        assert (found.exit_code, "mqtt.cert_file" in found.what + found.remedy) == (69, True)
    finally:
        one.kill()


def test_the_example_config_has_only_what_nobody_can_know(capsys: Captured) -> None:
    """Out of the box two things are missing: which camera, and which broker."""
    example = ROOT / "docs" / "config.example.toml"
    assert tomllib.loads(example.read_text())
    assert main(["check", "--config", str(example)]) == 78
    out = capsys.readouterr().out
    assert "camera.source names no source" in out
    assert "publish.sinks names no sink" in out


def test_a_folder_is_no_file_for_lines(tmp_path: Path) -> None:
    found = {finding.which: finding for finding in check(door(tmp_path, f"jsonl:{tmp_path}"))}
    assert found[f"jsonl:{tmp_path}"].exit_code == 73
    assert found[f"jsonl:{tmp_path}"].what == f"{tmp_path} is a folder"


def test_a_network_camera_that_gives_nothing_is_told_though_a_daemon_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody holds it alone."""

    def dead(*_: object) -> None:
        raise Unavailable("rtsp://cam/1 did not open within 20 s", "see that it is there")

    monkeypatch.setattr(checks, "open_camera", dead)
    config = parse_config({"camera": {"source": "rtsp://cam/1"}})
    assert look_at_camera(config, running=4711).exit_code == 69
