"""The configuration: defaults, limits, and everything that is wrong with it said at once."""

from __future__ import annotations

import dataclasses
import re
import socket
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import config
from edge.config import Config, default_device_name, load_config, parse_config
from edge.errors import ConfigError, InputMissing
from edge.sinks import MqttSettings
from edge.sinks.mqtt_address import find_password, parse_address
from tests import make_config_example
from tests.make_config_example import EXAMPLE, HOST_NAME

SECTIONS: dict[str, Any] = get_type_hints(Config)
KEYS = [(section, key) for section, kind in SECTIONS.items() for key in dataclasses.fields(kind)]
IDS = [f"{section}.{key.name}" for section, key in KEYS]
RANGED = [(section, key) for section, key in KEYS if key.metadata.get("low") is not None]
RANGED_IDS = [f"{section}.{key.name}" for section, key in RANGED]
WRONG = {str: 7, int: 1.5, float: "fast", bool: 1, tuple[str, ...]: "jsonl:-"}

texts = st.text(max_size=8)
scalars = st.one_of(st.booleans(), st.integers(), st.floats(), texts, st.datetimes(), st.none())
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
names = st.sampled_from(sorted({*SECTIONS, *(key.name for _, key in KEYS)})) | texts


def findings(raw: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(raw)
    return str(caught.value)


def value_of(parsed: Config, section: str, name: str) -> Any:
    return getattr(getattr(parsed, section), name)


def test_nothing_said_is_all_defaults() -> None:
    assert parse_config({}) == Config() == parse_config({section: {} for section in SECTIONS})


@pytest.mark.parametrize(("section", "key"), KEYS, ids=IDS)
def test_every_key_can_be_set_to_its_own_default(section: str, key: dataclasses.Field[Any]) -> None:
    default = value_of(Config(), section, key.name)
    said = list(default) if isinstance(default, tuple) else default
    assert parse_config({section: {key.name: said}}) == Config()


@pytest.mark.parametrize(("section", "key"), KEYS, ids=IDS)
def test_every_key_refuses_a_wrong_type_and_shows_what_it_got(section: str, key: dataclasses.Field[Any]) -> None:
    wrong = WRONG[get_type_hints(SECTIONS[section])[key.name]]
    assert re.match(rf"{section}\.{key.name} must be .*, is {wrong!r}$", findings({section: {key.name: wrong}}))


@pytest.mark.parametrize(("section", "key"), RANGED, ids=RANGED_IDS)
def test_every_range_includes_its_ends_and_nothing_beyond(section: str, key: dataclasses.Field[Any]) -> None:
    low, high = key.metadata["low"], key.metadata["high"]
    for value in (low, high):
        assert value_of(parse_config({section: {key.name: value}}), section, key.name) == value
    for value in (low - 1, high + 1):
        assert f"{section}.{key.name} must be {low}-{high}, is {value}" in findings({section: {key.name: value}})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_in_no_range(value: float) -> None:
    assert findings({"camera": {"fps": value}}) == f"camera.fps must be 0.1-240, is {value}"


def test_a_whole_number_may_stand_for_a_float() -> None:
    fps = parse_config({"camera": {"fps": 10}}).camera.fps
    assert (fps, type(fps)) == (10.0, float)


def test_true_is_no_number() -> None:
    assert findings({"camera": {"width": True}}) == "camera.width must be a whole number, is True"


@pytest.mark.parametrize("rotation", [45, -90, 360])
def test_a_rotation_is_a_quarter_turn(rotation: int) -> None:
    expected = f"camera.rotation must be one of 0, 90, 180, 270, is {rotation}"
    assert findings({"camera": {"rotation": rotation}}) == expected


def test_an_unknown_detector_is_answered_with_those_there_are() -> None:
    said = findings({"detector": {"name": "retinaface"}})
    assert said == "detector.name must be one of auto, yunet, centerface, is 'retinaface'"


def test_sinks_are_a_list_of_strings() -> None:
    assert parse_config({"publish": {"sinks": ["jsonl:-", "mqtt://hall"]}}).publish.sinks == ("jsonl:-", "mqtt://hall")
    assert "must be a list of strings" in findings({"publish": {"sinks": ["jsonl:-", 7]}})


@pytest.mark.parametrize("name", ["Front Door", "türe", "", "a" * 65, "a/b", "a\n"])
@pytest.mark.parametrize("section", ["device", "camera"])
def test_a_name_that_no_topic_can_hold_is_refused(section: str, name: str) -> None:
    said = f"{section}.name must be 1 to 64 characters of a-z 0-9 _ -, is {name!r}: choose another name"
    assert findings({section: {"name": name}}) == said


@pytest.mark.parametrize("base", ["doors/#", "+/door", "/x", "x/", "$SYS", "a\nb", "x" * 257])
def test_a_base_topic_that_the_sink_would_refuse_is_found_with_all_else(base: str) -> None:
    """`/x` once passed here, and was refused only when camera and model were open."""
    said = findings({"mqtt": {"base_topic": base, "keepalive_s": 1}, "device": {"name": "Tür"}})
    assert [part.split()[0] for part in said.split("; ")] == ["mqtt.base_topic", "mqtt.keepalive_s", "device.name"]
    assert f"mqtt.base_topic {base!r} cannot be used: write 1 to 256 bytes" in said


def test_a_base_topic_on_a_root_of_others_is_refused() -> None:
    assert "pictures only" in findings({"mqtt": {"base_topic": "mask-edge-private/hall"}})
    assert "Home Assistant's own" in findings({"mqtt": {"base_topic": "homeassistant"}})


@pytest.mark.parametrize("base", ["", "site/lobby", "türen/1"])
def test_a_base_topic_that_a_broker_takes_passes(base: str) -> None:
    assert parse_config({"mqtt": {"base_topic": base}}).mqtt.base_topic == base


def test_the_password_file_goes_before_systemd_s_credential_and_the_example_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("mqtt_password", "file"):
        (tmp_path / place).write_text(place)
        (tmp_path / place).chmod(0o600)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    address = parse_address("mqtts://door@broker")
    assert find_password(address, MqttSettings(password_file=tmp_path / "file")) == "file"
    assert find_password(address, MqttSettings()) == "mqtt_password"
    assert "broker's password; empty: systemd's credential mqtt_password\n#password_file" in EXAMPLE.read_text()


def test_an_unknown_key_is_answered_with_the_nearest() -> None:
    assert findings({"camera": {"rotate": 90}}) == "camera.rotate is not a known key: did you mean rotation?"


def test_an_unknown_section_is_answered_with_the_nearest() -> None:
    assert findings({"camra": {"fps": 5}}) == "[camra] is not a known key: did you mean camera?"


def test_an_unknown_key_near_to_none_is_answered_with_all() -> None:
    assert findings({"track": {"xyz": 1}}) == "track.xyz is not a known key: one of return_s"


def test_a_key_outside_of_its_section_is_refused() -> None:
    assert findings({"camera": "v4l2:/dev/video0"}) == "camera must be a section: write [camera]"
    assert "source is not a known key" in findings({"source": "door.mp4"})


def test_everything_wrong_is_said_at_once() -> None:
    said = findings({"camera": {"fps": 0, "widht": 1}, "mqtt": {"keepalive_s": "30"}, "detektor": {}})
    assert [part.split()[0] for part in said.split("; ")] == [
        "camera.fps",
        "camera.widht",
        "mqtt.keepalive_s",
        "[detektor]",
    ]


def test_a_password_in_a_wrong_place_is_not_shown() -> None:
    said = findings({"publish": {"sinks": "mqtt://hall:geheim@broker"}})
    assert "geheim" not in said
    assert "broker" in said


@given(st.dictionaries(names, st.dictionaries(names, values, max_size=4) | values, max_size=4))
def test_whatever_is_written_gives_a_config_or_findings(raw: dict[str, Any]) -> None:
    try:
        parsed = parse_config(raw)
    except ConfigError:
        return
    assert isinstance(parsed, Config)


# --- the file ---


def test_a_file_is_read_as_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes('[camera]\nsource = "Tür.mp4"\n'.encode())
    assert load_config(file).camera.source == "Tür.mp4"


def test_without_a_file_the_system_s_is_read_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "SYSTEM_CONFIG", tmp_path / "config.toml")
    assert load_config(None) == Config()
    (tmp_path / "config.toml").write_text("[camera]\nfps = 5\n")
    assert load_config(None).camera.fps == 5.0


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match=r"config file .*none.toml is not there: name another with --config"):
        load_config(tmp_path / "none.toml")


def test_a_finding_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[camera]\nfps = 0\n")
    with pytest.raises(ConfigError, match=r"config file .*config.toml: camera.fps must be 0.1-240, is 0"):
        load_config(file)


GARBAGE = {
    "a sentence": b"watch the door",
    "cut off": b"[camera",
    "twice": b"[camera]\nfps = 5\nfps = 6\n",
    "a picture": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "nested without end": b"a = " + b"[" * 100_000,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_what_is_not_toml_is_refused_with_the_place(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "config.toml").write_bytes(garbage)
    with pytest.raises(ConfigError, match=r"config file .*config.toml is not TOML: "):
        load_config(tmp_path / "config.toml")


@pytest.mark.parametrize("text", ["[camera]\nfps = 5\nfps = 6\n", "[camera]\n[camera]\n"])
def test_what_stands_twice_is_to_be_written_once(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError, match="write each key and section once"):
        load_config(tmp_path / "config.toml")


def test_a_folder_is_no_config_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder: name the file in it"):
        load_config(tmp_path)


# --- the host's name, and the example ---


@pytest.mark.parametrize(
    ("host", "name"),
    [("pi4.local", "pi4"), ("Front_Door-2", "front_door-2"), ("Tür", "t-r"), ("", "door"), ("h" * 80, "h" * 64)],
)
def test_the_host_s_name_becomes_a_device_name(host: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    assert default_device_name() == name
    assert parse_config({"device": {"name": name}}).device.name == name


def test_the_example_file_as_it_stands_is_all_defaults() -> None:
    assert load_config(EXAMPLE) == Config()


def test_the_example_file_with_every_key_set_is_all_defaults_too(tmp_path: Path) -> None:
    keys_set = re.sub(r"^#(?=\w)", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    assert len(re.findall(r"^\w+ = ", keys_set, re.MULTILINE)) == len(KEYS)
    (tmp_path / "all.toml").write_text(keys_set)
    parsed = load_config(tmp_path / "all.toml")
    assert parsed.device.name == HOST_NAME
    assert dataclasses.replace(parsed, device=Config().device) == Config()


def test_the_example_file_is_the_one_that_the_table_gives() -> None:
    assert EXAMPLE.read_text() == "\n".join(make_config_example.lines())


# --- what only a mutated file has shown ---


@pytest.mark.parametrize("huge", ["9" * 5000, "0x" + "f" * 5000])
def test_a_number_of_thousands_of_digits_is_a_finding_and_no_fault_of_ours(huge: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"[camera]\nwidth = {huge}\n")
    with pytest.raises(ConfigError, match="thousands of digits") as caught:
        load_config(path)
    assert len(str(caught.value)) < 400


def test_a_file_without_an_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="name the right file"):
        load_config(Path("/dev/zero"))


@pytest.mark.parametrize("text", ["a\0b", "\x1b[2J", "a\nb", "a" * 4097])
@pytest.mark.parametrize(
    "key", [("camera", "source"), ("mqtt", "ca_file"), ("classifier", "bundle"), ("publish", "sinks")]
)
def test_what_no_path_and_no_address_can_hold_is_refused_in_one_short_line(key: tuple[str, str], text: str) -> None:
    section, name = key
    said = findings({section: {name: [text] if name == "sinks" else text}})
    assert re.match(rf"{section}\.{name} must (hold no control|be at most 4,096) characters", said)
    assert said.isprintable()
    assert len(said) < 300


def test_a_key_that_would_write_all_over_the_terminal_does_not() -> None:
    said = findings({"camera": {"fps\x1b[2J\n": 1}, "a" * 9999: 1})
    assert said.isprintable()
    assert len(said) < 800
