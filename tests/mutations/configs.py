"""Configuration files that somebody, or a dying SD card, got wrong."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Final, get_type_hints

from edge.config import Config
from tests.mutations import SPOILERS

SECTIONS: Final = {
    name: [field.name for field in dataclasses.fields(kind)] for name, kind in get_type_hints(Config).items()
}
VALUES: Final = (
    *(
        "0",
        "-1",
        "1e400",
        "-1e308",
        "nan",
        "-nan",
        "inf",
        "-inf",
        "1" + 30 * "0",
        "9" * 5000,
        "0x" + "f" * 5000,
        "true",
    ),
    *("1979-05-27T07:32:00Z", "1979-05-27", "07:32:00", "[]", "{}", "[[]]", "[1, 'a']", "{a = {b = 1}}", "''"),
    *(r'"\u0000"', r'"a\u0000b"', r'"\n"', r'"\u001b[31mred"', r'"\u2028"', r'"\ud800"', r'"\u202egnp.exe"', '"😷"'),
    *('"' + "a" * 70_000 + '"', '"' + "../" * 500 + '"', '"/dev/zero"', '"/dev/full"', '"/"', '"."', '"~"', '"-"'),
    *('"/proc/self/mem"', '"mqtt://"', '"mqtt://u:p@h"', '"mqtt://[::1"', '"rtsp://u:p@h/x"', '"rtsp://[::"'),
    *(
        '"v4l2:"',
        '"v4l2:/dev/null"',
        '"v4l2:/dev/video0\\u0000"',
        '"picamera2:x"',
        '"scripted:"',
        '"scripted:/dev/null"',
    ),
    *('["jsonl:\\u0000"]', '["jsonl:"]', '["jsonl:/"]', '["mqtt://127.0.0.1:1\\u0000"]', '["mqtt://127.0.0.1:99999"]'),
    *('["mqtt://\\u00e9@127.0.0.1:9"]', '["mqtt://127.0.0.1:9", "mqtt://127.0.0.1:9"]', '["x:y"]', '[""]', "[1]"),
    *('"[a"', '"**"', '"\\ud83d"', '"a\\tb"', "'''\nlong\n'''", '"%s%n{0}"', "[" * 500 + "]" * 500),
)
LINES: Final = (
    *(
        "[",
        "[]",
        "[[camera]]",
        "[camera.width]",
        "camera = 1",
        "x.y.z = 1",
        "[a]\n[a]",
        '"" = 1',
        "\x00",
        "\x1b[2J = 1",
    ),
    *(
        '"a\\nb" = 1',
        '["\\u0000"]',
        "a" * 70_000 + " = 1",
        ".".join("a" * 3000) + " = 1",
        "[" + ".".join("b" * 3000) + "]",
    ),
    *(
        "x = " + "[" * 20_000,
        "x = " + "{a=" * 5_000,
        "\r",
        "\\",
        "=",
        "'''",
        '"""',
        "# \x7f",
        "key = \u00a0 1",
        "\ufeff",
    ),
)


def good(folder: Path) -> str:
    """Every key, each at its default or at what a test can do without waiting; all is well with it."""
    lines = []
    for name, kind in get_type_hints(Config).items():
        lines.append(f"[{name}]")
        for key, value in dataclasses.asdict(kind()).items():
            lines.append(f"{key} = {_toml(value)}")
    text = "\n".join(lines) + "\n"
    for old, new in (
        ('source = ""', f'source = "{folder}/flat.png"'),
        ('bundle = ""', f'bundle = "{folder}/tiny"'),
        ("sinks = []", f'sinks = ["jsonl:{folder}/events.jsonl"]'),
        ("read_timeout_s = 10.0", "read_timeout_s = 1.0"),
        ("long_side_px = 640", "long_side_px = 160"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    return text


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "[]" if isinstance(value, tuple) else f'"{value}"' if isinstance(value, str) else str(value)


def spoilt(text: str, draw: random.Random) -> bytes:
    """The file with one to three things wrong; now and then it happens to be right."""
    data = text.encode()
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        data = draw.choice(WAYS)(data, draw)
    return data


def _value(data: bytes, draw: random.Random) -> bytes:
    """A key has another value: of another type, out of range, or strange."""
    lines = data.split(b"\n")
    keys = [place for place, line in enumerate(lines) if b" = " in line]
    if not keys:
        return data
    place = draw.choice(keys)
    lines[place] = lines[place].partition(b" = ")[0] + b" = " + draw.choice(VALUES).encode("utf-8", "surrogatepass")
    return b"\n".join(lines)


def _name(data: bytes, draw: random.Random) -> bytes:
    """A section or a key is called otherwise."""
    section = draw.choice(list(SECTIONS))
    old = draw.choice([section, *SECTIONS[section]])
    new = draw.choice(
        (old[:-1], old + "s", old.upper(), draw.choice(list(SECTIONS)), '"\\n"', "é", '"' + old + '\\u001b"')
    )
    return data.replace(old.encode(), new.encode(), 1)


def _line(data: bytes, draw: random.Random) -> bytes:
    """A line comes in between."""
    lines = data.split(b"\n")
    lines.insert(draw.randrange(len(lines) + 1), draw.choice(LINES).encode())
    return b"\n".join(lines)


def _written(data: bytes, draw: random.Random) -> bytes:
    """Saved by an editor that means well, or by one that does not."""
    text = data.decode("utf-8", "replace")
    how = draw.choice(("utf-16", "utf-32", "utf-8-sig", "latin-1", "crlf", "cr", "nul"))
    if how in ("crlf", "cr"):
        return data.replace(b"\n", b"\r\n" if how == "crlf" else b"\r")
    return data + bytes(512) if how == "nul" else text.replace("#", "é").encode(how, "replace")


def _bytes(data: bytes, draw: random.Random) -> bytes:
    return draw.choice(SPOILERS)(data, draw)


WAYS: Final = (_value, _value, _value, _name, _line, _line, _written, _bytes, _bytes)
