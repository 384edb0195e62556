"""Writes ``docs/config.example.toml`` from the table in ``edge/config.py``: `python -m tests.make_config_example`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_type_hints

from edge.config import Config

EXAMPLE: Final = Path(__file__).parent.parent / "docs" / "config.example.toml"
HEAD: Final = """\
# mask-edge: copy to /etc/mask-edge/config.toml, or name with --config. Every key may be left out; what stands here are
# the defaults. Take the # away before a key that you change. Made by `python -m tests.make_config_example`.
"""
HOST_NAME: Final = "front-door"  # stands for a default that differs from machine to machine


def lines() -> Iterator[str]:
    yield HEAD
    for section, kind in get_type_hints(Config).items():
        yield f"[{section}]"
        for key in dataclasses.fields(kind):
            default = HOST_NAME if key.default is dataclasses.MISSING else key.default
            yield f"# {key.metadata['says']}{limits(key.metadata)}"
            yield f"#{key.name} = {json.dumps(default)}"
        yield ""


def limits(metadata: Any) -> str:
    if metadata.get("among") and metadata["among"][0] != "auto":  # the detectors are explained one by one
        return f"; one of {', '.join(map(str, metadata['among']))}"
    return f"; {metadata['low']}-{metadata['high']}" if metadata.get("low") is not None else ""


if __name__ == "__main__":
    EXAMPLE.write_text("\n".join(lines()))
