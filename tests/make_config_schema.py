"""Writes ``docs/schema/config.schema.json`` from the table in ``edge/config.py``: `python -m tests.make_config_schema`.

For editors that complete and check TOML (``#:schema`` of Taplo, "Even Better TOML"), and for tools that write configs.
What no schema can say (is the file there, do key and certificate fit) is left to ``edge check``.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Final, get_type_hints

from edge.config import Config
from tests.make_config_example import HOST_NAME

SCHEMA: Final = Path(__file__).parent.parent / "docs" / "schema" / "config.schema.json"
KINDS: Final = {int: "integer", float: "number", str: "string", bool: "boolean"}
NAME: Final = "^[a-z0-9_-]{1,64}$"  # what `check_name` of edge/topics.py takes
PATTERNS: Final = {"device.name": NAME, "camera.name": NAME}


def schema() -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://mask-edge.invalid/schema/config.schema.json",
        "title": "mask-edge configuration, /etc/mask-edge/config.toml",
        "description": "Made by `python -m tests.make_config_schema`. Every key may be left out.",
        "type": "object",
        "properties": {name: section(name, kind) for name, kind in get_type_hints(Config).items()},
        "additionalProperties": False,
    }


def section(name: str, kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    keys = {key.name: entry(f"{name}.{key.name}", key, hints[key.name]) for key in dataclasses.fields(kind)}
    return {"type": "object", "properties": keys, "additionalProperties": False}


def entry(where: str, key: dataclasses.Field[Any], kind: Any) -> dict[str, Any]:
    """One key: what it does (with its unit), its type, default and limits."""
    metadata = key.metadata
    said: dict[str, Any] = {"description": metadata["says"]}
    if kind == tuple[str, ...]:
        said |= {"type": "array", "items": {"type": "string"}}
    elif metadata.get("among"):
        said |= {"enum": list(metadata["among"])}
    else:
        said |= {"type": KINDS[kind]}
    if metadata.get("low") is not None:
        said |= {"minimum": metadata["low"], "maximum": metadata["high"]}
    if where in PATTERNS:
        said |= {"pattern": PATTERNS[where]}
    if key.default is not dataclasses.MISSING:
        return said | {"default": key.default}
    return said | {"examples": [HOST_NAME]}  # the host's name differs from machine to machine


def text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(text())
