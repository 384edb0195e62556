"""Passwords: none is ever shown, whatever was mistyped, and all files that hold one are read alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.__main__ import main
from edge.config import parse_config
from edge.errors import ConfigError, EdgeError
from edge.passwords import masked, read_password
from edge.sinks import MqttSettings, SinkSettings, check_sink, open_sink
from edge.sinks.mqtt_address import find_password, parse_address
from edge.sources import open_source

SOURCES = [
    "rtps://door:geheim@cam/1",
    "RTSP://door:geheim@cam/1",
    "http://door:geheim@cam/v.mjpg",
    "rtsp://door:ge/heim@cam/1",
    "rtsp://door:ge@heim@cam/1",
    "http://door:ge*heim@cam/v.mjpg",
    "rtps://cam/1?user=door&pw=geheim",
    "rtps://cam/1?user=door&pw=ge@heim",
    "door:geheim@cam/1",
]
SINKS = [
    "MQTT://door:geheim@broker",
    "mqtts://door:ge/heim@broker",
    "mqtt://door:ge@heim@broker",
    "mqqt://door:geheim@broker",
    "mqqt://door:ge/heim@broker",
    "mqtt:door:geheim@broker",
    "http://door:geheim@broker/path",
    "door:geheim@broker",
]


def says_nothing(text: str) -> bool:
    return not any(part in text for part in ("geheim", "heim", ":ge"))


@pytest.mark.parametrize("spec", SOURCES)
def test_a_password_in_a_mistyped_source_is_not_shown(spec: str) -> None:
    with pytest.raises(EdgeError) as caught:
        open_source(spec)
    assert caught.value.exit_code in (64, 66)
    assert says_nothing(str(caught.value))


@pytest.mark.parametrize("use", [open_sink, check_sink])
@pytest.mark.parametrize("spec", SINKS)
def test_a_password_in_a_mistyped_sink_is_not_shown(spec: str, use: Callable[[str, SinkSettings], object]) -> None:
    with pytest.raises(EdgeError) as caught:
        use(spec, SinkSettings("door"))
    assert caught.value.exit_code in (64, 78)
    assert says_nothing(str(caught.value))


@pytest.mark.parametrize("spec", SOURCES + SINKS)
def test_a_password_in_a_wrong_place_of_the_configuration_is_not_shown(spec: str) -> None:
    for raw in ({"publish": {"sinks": spec}}, {"camera": {"source": [spec]}}, {"camera": {"name": spec}}):
        with pytest.raises(ConfigError) as caught:
            parse_config(raw)
        assert says_nothing(str(caught.value))


@pytest.mark.parametrize("spec", SOURCES + SINKS)
def test_a_password_in_a_wrong_argument_is_not_shown(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", spec]) == 64
    assert says_nothing(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://door:geheim@cam:554/1", "rtsp://***@cam:554/1"),
        ("rtsp://door@cam/1?user=a&pw=geheim", "rtsp://door@cam/1"),
        ("rtsp://cam:554/1", "rtsp://cam:554/1"),
        ("mqtt://me%40home@broker", "mqtt://me%40home@broker"),
        ("photos/me@home.jpg", "photos/me@home.jpg"),
        ("what?.jpg", "what?.jpg"),
        ("v4l2:/dev/video0", "v4l2:/dev/video0"),
        ("", ""),
    ],
)
def test_what_is_no_password_is_shown(address: str, shown: str) -> None:
    assert masked(address) == shown


@given(st.text("abc:/?#@%* ", max_size=12).map(lambda noise: f"{noise}XYZ{noise}"))
def test_no_password_between_colon_and_last_at_is_ever_shown(password: str) -> None:
    for scheme in ("rtsp://", "http://", "mqtt:", ""):
        assert "XYZ" not in masked(f"{scheme}door:{password}@cam/1")


# --- files ---


def from_camera(path: Path) -> str | None:
    return read_password(path, "camera.password_file")


def from_mqtt(path: Path) -> str | None:
    return find_password(parse_address("mqtts://door@broker"), MqttSettings(password_file=path))


@pytest.fixture(params=[from_camera, from_mqtt])
def read(request: pytest.FixtureRequest) -> Callable[[Path], str | None]:
    reader: Callable[[Path], str | None] = request.param
    return reader


def write(folder: Path, data: bytes, mode: int = 0o600) -> Path:
    path = folder / "password"
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("data", [b"ge heim ", b"ge heim \n", b"ge heim \r\nrest\r\n"])
def test_a_password_is_the_first_line_without_its_end(
    tmp_path: Path, read: Callable[[Path], str | None], data: bytes
) -> None:
    assert read(write(tmp_path, data)) == "ge heim "


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "is empty: write the password"), (b"\r\ngeheim", "is empty"), (b"\xff\xfe", "not UTF-8 text")],
)
def test_a_file_without_a_password_is_named_with_its_key(
    tmp_path: Path, read: Callable[[Path], str | None], data: bytes, says: str
) -> None:
    path = write(tmp_path, data)
    with pytest.raises(ConfigError, match=rf"^(camera|mqtt)\.password_file: {path} .*{says}") as caught:
        read(path)
    assert "geheim" not in str(caught.value)


def test_a_missing_password_file_is_named(tmp_path: Path, read: Callable[[Path], str | None]) -> None:
    with pytest.raises(ConfigError, match=r"password_file: .*none cannot be read: No such file"):
        read(tmp_path / "none")


def test_a_password_file_that_everybody_can_read_is_warned_of_once(
    tmp_path: Path, read: Callable[[Path], str | None], caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, b"geheim", 0o644)
    assert read(path) == read(path) == "geheim"
    assert caplog.text.count(f"can read the password in {path}: chmod 600 it") == 1
    assert "geheim" not in caplog.text


def test_a_password_file_without_an_end_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"camera.password_file: /dev/zero has 65,536 bytes and more: name a file"):
        read_password(Path("/dev/zero"), "camera.password_file")
