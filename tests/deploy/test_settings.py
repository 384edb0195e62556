"""What a door is told is checked here, by the daemon's own reader, before the door hears of it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.doors.facts import Facts
from deploy.doors.install import build_parser, install, main
from deploy.doors.plan import Wish, installing
from deploy.doors.settings import settings
from deploy.doors.wheels import KINDS, LOCKS, ROOT, Software, kind_of
from edge.errors import ConfigError, DataError, EdgeError, InputMissing, Unavailable, UsageError

BARE = Facts("Debian 12", "12", "arm64", "raspberrypi", is_pi=True, has_config=False)
GIVEN = {"camera": "picamera2:0", "broker": "mqtts://door@10.0.0.2"}


def config(given: dict[str, str], folder: Path) -> dict[str, dict[str, object]]:
    return tomllib.loads(settings(given, b"", folder).config(BARE.host, "door").decode())


def test_a_door_s_configuration_holds_what_was_said(tmp_path: Path) -> None:
    found = config(GIVEN, tmp_path)
    assert found["device"]["name"] == "raspberrypi"
    assert (found["camera"]["source"], found["publish"]["sinks"]) == ("picamera2:0", ["mqtts://door@10.0.0.2"])


@pytest.mark.parametrize("value", ['x"[mqtt]', "\\", "ü\u2028", "\U0001f600"])
def test_a_value_arrives_as_it_was_given(tmp_path: Path, value: str) -> None:
    assert config({**GIVEN, "camera": value}, tmp_path)["camera"]["source"] == value


def test_no_value_can_add_a_line_to_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"camera\.source must hold no control characters"):
        config({**GIVEN, "camera": 'x"\n[mqtt]\nallow_plaintext_password = true'}, tmp_path)


def test_a_name_that_topics_cannot_carry_is_refused_here(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"device\.name"):
        config({**GIVEN, "device": "Front Door"}, tmp_path)


def test_a_template_is_held_to_the_same(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("[camera]\nsource = $camera\nfsp = 3\n")
    with pytest.raises(ConfigError, match="did you mean fps"):
        config({**GIVEN, "template": "own.toml"}, tmp_path)
    (tmp_path / "own.toml").write_text("[camera]\nsource = $camra\n")
    with pytest.raises(ConfigError, match="camra"):
        config({**GIVEN, "template": "own.toml"}, tmp_path)


def test_a_password_is_a_line_and_in_no_repr(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("geheim\r\nand more")
    told = settings({**GIVEN, "password_file": "password"}, b"", tmp_path)
    assert told.password == b"geheim\n"
    assert "geheim" not in repr(told)


def test_a_password_would_not_go_over_a_plain_line(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("geheim\n")
    given = {**GIVEN, "broker": "mqtt://door@10.0.0.2", "password_file": "password"}
    with pytest.raises(ConfigError, match="in the clear"):
        settings(given, b"", tmp_path).config(BARE.host, "door")


def test_a_private_key_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    with pytest.raises(DataError, match=r"ends in \.pub"):
        settings({**GIVEN, "deploy_key": "key"}, b"", tmp_path)


@pytest.mark.parametrize("name", ["ca_file", "password_file", "template", "deploy_key"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(EdgeError, match="nowhere"):
        settings({**GIVEN, name: "nowhere"}, b"", tmp_path)


def test_a_32_bit_raspberry_pi_is_told_what_to_do() -> None:
    old = Facts("Raspbian 12", "12", "armhf", "raspberrypi", is_pi=True, has_config=False)
    with pytest.raises(Unavailable, match="install its 64-bit system"):
        kind_of(old, "door")


@pytest.mark.parametrize("given", [{"device": "gate"}, {"device": "gate", "broker": "mqtt://10.0.0.2"}])
def test_a_door_with_a_configuration_need_not_be_told_of_it_again(tmp_path: Path, given: dict[str, str]) -> None:
    """As when only a key for deployments is new, by an inventory that lists hosts and no more."""
    there = replace(BARE, has_config=True)
    kind = KINDS["12", "arm64"]
    (wheel := tmp_path / "mask_edge-0.1.0-py3-none-any.whl").write_bytes(b"")
    software = Software(kind, wheel, "0.1.0-0123456789ab")
    steps = installing(software, Wish(settings(given, b"", tmp_path)), there, "gate")
    about = [step for step in steps if step.what.startswith("configuration")]
    assert all(not step.acts for step in about)
    assert len(about) == ("broker" in given)
    with pytest.raises(UsageError, match="has no configuration yet, and no camera was named"):
        installing(software, Wish(settings(given, b"", tmp_path)), BARE, "gate")


def test_doors_may_be_named_between_options() -> None:
    assert build_parser().parse_intermixed_args(["a", "--parallel", "2", "b"]).hosts == ["a", "b"]
    with pytest.raises(InputMissing, match=r"no \.deb"):
        install(build_parser().parse_intermixed_args(["a", "--debs", "/nowhere", "b"]))


@pytest.mark.parametrize("kind", KINDS.values(), ids=[f"{k.machine}-{k.python}" for k in KINDS.values()])
def test_a_lock_holds_every_dependency_and_every_hash(kind: object) -> None:
    lock = (LOCKS / f"{kind.machine}-{kind.python}.txt").read_text()  # type: ignore[attr-defined]
    pinned = re.findall(r"^([a-z0-9-]+)==(\S+) \\\n    --hash=sha256:", lock, re.MULTILINE)
    assert len(pinned) == lock.count("==")
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.match(r"[\w-]+", line)[0] for line in wanted}  # type: ignore[index]
    runtimes = {"ai-edge-litert", "tflite-runtime"}
    assert names - runtimes <= dict(pinned).keys()
    assert len(runtimes & dict(pinned).keys()) == 1


MISTAKES = {
    "a password in the address": ["--camera", "picamera2:0", "--broker", "mqtt://a:b@192.168.7.2"],
    "no broker": ["--camera", "picamera2:0", "--broker", "192.168.7.2"],
    "a file that is not there": ["--ca-file", "nothere"],
    "no key": ["--deploy-key", "notpub"],
    "no template": ["--camera", "picamera2:0", "--broker", "mqtt://192.168.7.2", "--template", "notpub"],
}


@pytest.mark.parametrize("words", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_before_any_door_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notpub").write_text("x")
    assert main(["door.invalid", *words, "--dry-run"]) in (64, 65, 66, 78)
    assert "door.invalid cannot be reached" not in capsys.readouterr().err
