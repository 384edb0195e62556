"""The configuration: one TOML file into frozen dataclasses; every key, default, unit and range stands here.

A key that is not listed is refused, with the nearest name. ``docs/config.example.toml`` is made from the same table.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import socket
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_type_hints

from edge.errors import ConfigError, InputMissing, Refused, one_line
from edge.passwords import masked
from edge.places import SYSTEM_CONFIG
from edge.topics import check_base, check_name

TYPE_WORDS: Final = {int: "a whole number", float: "a number", str: "a string in quotes", bool: "true or false"}
MAX_FILE_BYTES: Final = 1 << 20  # the example has 4,000; a device or another file named by mistake may have no end
MAX_TEXT: Final = 4096  # characters of a value: the longest path that Linux takes
HUGE: Final = "thousands of digits long"  # Python neither reads nor writes these
MAX_SHOWN: Final = 100  # characters of a name or a value in a message
DETECTORS: Final = ("auto", "yunet", "centerface")
ACCELERATORS: Final = ("auto", "cpu", "edgetpu")


def key(
    default: Any, says: str, *, low: float | None = None, high: float | None = None, among: tuple[Any, ...] = ()
) -> Any:
    """A configuration key: its default, what it does (with the unit), and what it may be."""
    return field(default=default, metadata={"says": says, "low": low, "high": high, "among": among})


def default_device_name() -> str:
    """The host's name as far as a device name may hold it."""
    return re.sub(r"[^a-z0-9_-]", "-", socket.gethostname().split(".")[0].lower())[:64] or "door"


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    name: str = field(
        default_factory=default_device_name,
        metadata={"says": "name in topics and events: 1-64 of a-z 0-9 _ -; default: the host's name"},
    )


@dataclass(frozen=True, slots=True)
class CameraConfig:
    name: str = key("main", "name of the camera in events")
    source: str = key(
        "", "what to read: a file, a folder or glob of images, v4l2:/dev/video0, picamera2:0, rtsp://HOST/PATH"
    )
    width: int = key(1280, "width asked of a camera, pixels", low=1, high=10000)
    height: int = key(720, "height asked of a camera, pixels", low=1, high=10000)
    fps: float = key(15.0, "frames per second asked of a camera", low=0.1, high=240)
    rotation: int = key(0, "degrees clockwise to turn the picture upright", among=(0, 90, 180, 270))
    password_file: str = key("", "file that holds the password of an rtsp:// source")
    read_timeout_s: float = key(10.0, "seconds without a frame until the camera counts as lost", low=1, high=120)
    frame_deadline_s: float = key(
        1.0,
        "seconds a frame may take from its arrival to its events; slower ones are told in health",
        low=0.05,
        high=30,
    )


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    name: str = key("auto", "auto (yunet where its file is, else centerface), yunet, centerface", among=DETECTORS)
    min_face_px: int = key(
        0,
        "faces count from this shorter side on, pixels of the frame as captured; 0: 32 in run, 20 in classify",
        low=0,
        high=1000,
    )
    long_side_px: int = key(
        640, "the frame's longer side is scaled to this before faces are looked for", low=160, high=1920
    )


@dataclass(frozen=True, slots=True)
class ClassifierConfig:
    bundle: str = key("", "model bundle folder; empty: the active one, else the shipped one")
    threads: int = key(1, "CPU threads of the classifier", low=1, high=16)
    accelerator: str = key(
        "auto",
        "auto (an Edge TPU where one is there and the bundle has a model for it, else the CPU), "
        "cpu (never look for one), edgetpu (nothing else may judge; health tells when it is away)",
        among=ACCELERATORS,
    )


@dataclass(frozen=True, slots=True)
class TrackConfig:
    return_s: float = key(2.0, "seconds a person may be away and still be the same person", low=0.5, high=60)


@dataclass(frozen=True, slots=True)
class DecideConfig:
    max_looks: int = key(40, "good looks after which an unsettled person is called uncertain", low=5, high=1000)
    change_s: float = key(1.0, "seconds a mask must be on or off before a change is told", low=0.3, high=30)


@dataclass(frozen=True, slots=True)
class PublishConfig:
    sinks: tuple[str, ...] = key((), "where events go: mqtt://[user@]host[:port], mqtts://..., jsonl:PATH")
    drain_s: float = key(10.0, "seconds to wait at the end for events that are not delivered", low=0, high=600)


@dataclass(frozen=True, slots=True)
class MqttConfig:
    base_topic: str = key("", "base of the topics; empty: mask-edge/<device>")
    password_file: str = key("", "file that holds the broker's password; empty: systemd's credential mqtt_password")
    ca_file: str = key("", "CA certificates for mqtts://; empty: the system's")
    cert_file: str = key("", "client certificate, PEM")
    key_file: str = key("", "key of the client certificate, PEM")
    allow_plaintext_password: bool = key(False, "send a password over plain mqtt:// to another host")
    keepalive_s: int = key(30, "seconds between signs of life to the broker", low=5, high=600)
    discovery: bool = key(True, "let Home Assistant find this device, by names of topics on homeassistant/device/")
    snapshot: bool = key(False, "publish each decision's best look, a JPEG, on mask-edge-private/<device>/snapshot")


@dataclass(frozen=True, slots=True)
class OutboxConfig:
    max_events: int = key(
        100_000, "events that wait on disk for the broker, the oldest make room", low=100, high=10_000_000
    )
    max_age_days: float = key(30.0, "days, while the daemon runs, that an event waits at most", low=0.01, high=3650)


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, checked. Sections are named after what they set."""

    device: DeviceConfig = field(default_factory=DeviceConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    decide: DecideConfig = field(default_factory=DecideConfig)
    publish: PublishConfig = field(default_factory=PublishConfig)
    mqtt: MqttConfig = field(default_factory=MqttConfig)
    outbox: OutboxConfig = field(default_factory=OutboxConfig)


@dataclass(frozen=True, slots=True)
class Misuse:
    """What is wrong with the file, and which key (``camera.source``) or section has not the value that its author
    meant; "" where that cannot be said."""

    meant: str
    error: ConfigError


def load_config(path: Path | None) -> Config:
    """Read a file; without one the system's where it is, else all defaults. Raises ConfigError with every finding."""
    path = path or system_config()
    if path is None:
        return Config()
    config, findings = examine_config(read_config(path))
    if findings:
        raise ConfigError(f"config file {path}: {'; '.join(str(f.error) for f in findings)}")
    return config


def system_config() -> Path | None:
    """The system's file, None where there is none, or none that this user may see."""
    return SYSTEM_CONFIG if os.path.isfile(SYSTEM_CONFIG) else None  # noqa: PTH113 - False, not an error


def read_config(path: Path) -> dict[str, Any]:
    """The file as TOML, not yet checked. Raises InputMissing, Refused and ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise InputMissing(f"config file {path} is not there", "name another with --config") from error
    except PermissionError as error:
        raise Refused(f"config file {path} may not be read by this user", "change its permissions") from error
    except IsADirectoryError as error:
        raise ConfigError(f"config file {path} is a folder", "name the file in it") from error
    except OSError as error:
        raise ConfigError(f"config file {path} cannot be read ({error.strerror})", "look after the disk") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"config file {path} has over {MAX_FILE_BYTES:,} bytes", "name the right file with --config")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        is_twice = any(word in str(error) for word in ("twice", "overwrite"))
        remedy = "write each key and section once" if is_twice else "text stands in quotes"
        raise ConfigError(f"config file {path} is not TOML: {_shown(str(error))}", remedy) from error
    except ValueError as error:
        raise ConfigError(f"config file {path}: a number in it is {HUGE}", "write a smaller one") from error


def parse_config(raw: dict[str, Any]) -> Config:
    """From parsed TOML to a checked Config; all findings at once, in one ConfigError."""
    config, findings = examine_config(raw)
    if findings:
        raise ConfigError("; ".join(str(f.error) for f in findings))
    return config


def examine_config(raw: dict[str, Any]) -> tuple[Config, list[Misuse]]:
    """What of it can be used, the rest at its defaults, and everything that is wrong with the rest."""
    findings: list[Misuse] = []
    hints = get_type_hints(Config)
    sections = {}
    for name, value in raw.items():
        if name not in hints:
            findings.append(unknown(f"[{_shown(name)}]" if isinstance(value, dict) else _shown(name), name, hints, raw))
        elif not isinstance(value, dict):
            findings.append(Misuse(name, ConfigError(f"{name} must be a section", f"write [{name}]")))
        else:
            sections[name] = parse_section(name, hints[name], value, findings)
    return Config(**sections), findings


def parse_section(section: str, kind: type[Any], raw: dict[str, Any], findings: list[Misuse]) -> Any:
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    values = {}
    for name, value in raw.items():
        where = f"{section}.{_shown(name)}"
        if name not in fields:
            findings.append(unknown(where, name, fields, raw, section))
            continue
        wrong = problem(value, hints[name], fields[name].metadata)
        is_so = f"{where} {wrong}, is {shown(value)}"
        error = ConfigError(is_so) if wrong else topic_problem(where, value) or text_problem(where, value)
        if error:
            findings.append(Misuse(where, error))
        else:
            values[name] = (
                tuple(value) if isinstance(value, list) else hints[name](value) if hints[name] is float else value
            )
    return kind(**values)


def unknown(where: str, name: str, known: Any, given: dict[str, Any], section: str = "") -> Misuse:
    """where: the key, for the message. name: as it stands among ``given``, in ``section``; "" is the file itself."""
    near = difflib.get_close_matches(name, known, n=1)
    remedy = f"did you mean {near[0]}?" if near else f"one of {', '.join(known)}"
    meant = near[0] if near and near[0] not in given else name
    return Misuse(f"{section}.{meant}" if section else meant, ConfigError(f"{where} is not a known key", remedy))


def shown(value: Any) -> str:
    """A value as it may stand in a message."""
    try:
        return _shown(masked(repr(value)))
    except ValueError:
        return HUGE


def _shown(text: str) -> str:
    return one_line(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}...")


def problem(value: Any, kind: Any, metadata: Any) -> str | None:
    """What is wrong with a value, or None. TOML's whole numbers may stand for floats, never for booleans."""
    if kind == tuple[str, ...]:
        return (
            None
            if isinstance(value, list) and all(isinstance(v, str) for v in value)
            else 'must be a list of strings: ["..."]'
        )
    allowed = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        return f"must be {TYPE_WORDS[kind]}"
    low, high, among = metadata.get("low"), metadata.get("high"), metadata.get("among")
    if low is not None and not low <= value <= high:
        return f"must be {low}-{high}"
    if among and value not in among:
        return f"must be one of {', '.join(map(str, among))}"
    return None


def topic_problem(where: str, value: Any) -> ConfigError | None:
    """What topics and ids cannot hold, said by those who make them. An empty base topic is the default one."""
    try:
        if where in ("device.name", "camera.name"):
            check_name(where, value)
        elif where == "mqtt.base_topic" and value:
            check_base(value)
    except ConfigError as error:
        return ConfigError(masked(error.what), error.remedy)
    return None


def text_problem(where: str, value: Any) -> ConfigError | None:
    """What neither a path nor an address can hold."""
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and len(text) > MAX_TEXT:
            return ConfigError(f"{where} must be at most {MAX_TEXT:,} characters, is {shown(text)}")
        if isinstance(text, str) and any(c < " " or c == "\x7f" for c in text):
            return ConfigError(f"{where} must hold no control characters, is {shown(text)}")
    return None
