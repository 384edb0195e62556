"""Which broker and by what right; above all: where a password may stand, and that none is ever repeated."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError
from edge.sinks import MqttSettings, SinkSettings, open_sink
from edge.sinks.mqtt_address import Address, find_password, parse_address, tls_context
from tests.edge.sinks.certificates import lock_key, make_authority, make_certificate


@pytest.mark.parametrize(
    ("spec", "address"),
    [
        ("mqtt://broker", Address("broker", 1883, None, False)),
        ("mqtts://broker", Address("broker", 8883, None, True)),
        ("mqtt://edge@broker.example:1884/", Address("broker.example", 1884, "edge", False)),
        ("mqtt://me%40home@10.0.0.1", Address("10.0.0.1", 1883, "me@home", False)),
        ("mqtts://[fe80::1]:8884", Address("fe80::1", 8884, None, True)),
    ],
)
def test_address_is_read(spec: str, address: Address) -> None:
    assert parse_address(spec) == address


@pytest.mark.parametrize(
    "spec",
    [
        "mqtt:",
        "mqtt://",
        "mqtt:broker",
        "mqtt://@broker",
        "mqtt://broker:0",
        "mqtt://broker:99999",
        "mqtt://broker:x",
        "mqtt://broker/topic",
        "mqtt://broker?x=1",
        "mqtt://a b",
        "mqtt://[::1",
        "http://broker",
    ],
)
def test_address_that_cannot_be_meant_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address(spec)
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    "spec",
    [
        "mqtt://edge:hunter2@broker",
        "mqtts://edge:hunter2@broker:8883",
        "mqtt://edge:a@hunter2@broker",
        "mqtt://edge:hunter2/x@broker",
        "mqtt:edge:hunter2@broker",
        "mqtt://:hunter2@broker",
        "mqtt://edge:hunter2@",
    ],
)
def test_password_in_the_address_is_refused_not_repeated_and_shown_its_place(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"mqtt\.password_file") as caught:
        open_sink(spec, SinkSettings("door"))
    assert "hunter2" not in str(caught.value)


@given(st.text())
def test_no_address_brings_anything_but_an_address_or_a_clear_error(text: str) -> None:
    try:
        address = parse_address(f"mqtt://{text}")
    except ConfigError:
        return
    assert 1 <= address.port <= 65_535


def password_file(tmp_path: Path, text: str = "hunter2\n", mode: int = 0o600) -> Path:
    path = tmp_path / "password"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_password_is_the_files_first_line(tmp_path: Path) -> None:
    settings = MqttSettings(password_file=password_file(tmp_path, "hunter2 \r\nrest\n"))
    assert find_password(parse_address("mqtts://edge@broker"), settings) == "hunter2 "


def test_systemds_credential_serves_where_no_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mqtt_password").write_text("from systemd")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    address = parse_address("mqtts://edge@broker")
    assert find_password(address, MqttSettings()) == "from systemd"
    assert find_password(address, MqttSettings(password_file=password_file(tmp_path))) == "hunter2"
    assert find_password(parse_address("mqtts://broker"), MqttSettings()) is None


@pytest.mark.parametrize("host", ["broker", "192.168.1.5", "127.0.0.1.example", "localhost.example"])
def test_password_does_not_travel_in_the_clear_to_another_machine(host: str, tmp_path: Path) -> None:
    settings = MqttSettings(password_file=password_file(tmp_path))
    with pytest.raises(ConfigError, match="allow_plaintext_password"):
        find_password(parse_address(f"mqtt://edge@{host}"), settings)


@pytest.mark.parametrize(
    "spec", ["mqtt://edge@localhost", "mqtt://edge@127.1.2.3", "mqtt://edge@[::1]", "mqtts://edge@far"]
)
def test_password_may_travel_within_this_machine_or_encrypted(spec: str, tmp_path: Path) -> None:
    settings = MqttSettings(password_file=password_file(tmp_path))
    assert find_password(parse_address(spec), settings) == "hunter2"


def test_password_travels_in_the_clear_where_the_operator_says_so(tmp_path: Path) -> None:
    settings = MqttSettings(password_file=password_file(tmp_path), allow_plaintext_password=True)
    assert find_password(parse_address("mqtt://edge@far"), settings) == "hunter2"


def test_user_without_a_password_needs_no_encryption() -> None:
    assert find_password(parse_address("mqtt://edge@far"), MqttSettings()) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "No such file"), ("", "is empty"), ("\nhunter2", "is empty")],
    ids=["absent", "empty", "blank"],
)
def test_password_file_without_a_password_is_named(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "password" if text is None else password_file(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        find_password(parse_address("mqtts://edge@broker"), MqttSettings(password_file=path))
    assert str(path) in str(caught.value)


def test_password_file_without_a_user_in_the_address_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names no user"):
        find_password(parse_address("mqtts://broker"), MqttSettings(password_file=password_file(tmp_path)))


def test_password_file_that_everybody_can_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = MqttSettings(password_file=password_file(tmp_path, mode=0o644))
    find_password(parse_address("mqtts://edge@broker"), settings)
    assert "chmod 600" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("content", [None, "not a certificate"], ids=["absent", "garbage"])
@pytest.mark.parametrize("key", ["ca_file", "cert_file"])
def test_certificate_file_that_cannot_be_used_is_named_with_its_key(
    key: str, content: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "x.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=rf"mqtt\.{key} {path}"):
        tls_context(MqttSettings(**{key: path}))  # type: ignore[arg-type]


def test_key_without_its_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mqtt\.cert_file"):
        tls_context(MqttSettings(key_file=tmp_path / "x.key"))


def test_key_with_a_pass_phrase_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    make_authority(tmp_path)
    crt, key = make_certificate(tmp_path, "door", "DNS:door")
    locked = lock_key(key, "pass phrase")
    with pytest.raises(ConfigError, match=r"mqtt\.key_file"):
        tls_context(MqttSettings(cert_file=crt, key_file=locked))


def test_tls_asks_for_version_1_2_and_checks_the_host_name() -> None:
    context = tls_context(MqttSettings())
    assert (context.minimum_version, context.check_hostname) == (ssl.TLSVersion.TLSv1_2, True)


def test_topic_in_the_address_is_refused_with_the_key_that_sets_it() -> None:
    with pytest.raises(ConfigError, match=r"holds a path.*mqtt\.base_topic"):
        parse_address("mqtt://broker/doors/front")
