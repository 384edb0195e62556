"""The published schema of the configuration: made from the same table, and of one mind with the parser."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from typing import Any, get_type_hints

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import Config, parse_config
from edge.errors import ConfigError
from tests.make_config_example import EXAMPLE
from tests.make_config_schema import NAME, SCHEMA, text

VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
KEYS = [(name, key) for name, kind in get_type_hints(Config).items() for key in dataclasses.fields(kind)]
SECTIONS = sorted({name for name, _ in KEYS})
NAMES = sorted({key.name for _, key in KEYS})
# Near the limits of every range, and what TOML can hold besides. A float without a fraction is left out: to JSON Schema
# 5.0 is a whole number, to us it is not one.
numbers = st.sampled_from([-1, 0, 1, 5, 30, 90, 100, 1000, 0.05, 0.5, 2.5, 240.5, 20_000_000])
values = st.one_of(numbers, st.booleans(), st.text(max_size=5), st.lists(st.text(max_size=3), max_size=2))
places = st.sampled_from([(section, key.name) for section, key in KEYS])
elsewhere = st.tuples(st.sampled_from(SECTIONS), st.sampled_from(NAMES))  # a key of another section, most often


def accepts(raw: dict[str, Any]) -> bool:
    return bool(VALIDATOR.is_valid(raw))


def parses(raw: dict[str, Any]) -> bool:
    try:
        parse_config(raw)
    except ConfigError:
        return False
    return True


def test_the_published_schema_is_the_one_that_the_table_gives() -> None:
    assert SCHEMA.read_text() == text(), "run: python -m tests.make_config_schema"


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))


def test_it_takes_the_example_as_it_stands_and_with_every_key_set() -> None:
    keys_set = re.sub(r"^#(?=\w)", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    for example in (EXAMPLE.read_text(), keys_set):
        VALIDATOR.validate(tomllib.loads(example))


@pytest.mark.parametrize(("section", "key"), KEYS, ids=[f"{section}.{key.name}" for section, key in KEYS])
def test_every_key_is_told_with_its_meaning_and_its_default(section: str, key: dataclasses.Field[Any]) -> None:
    said = VALIDATOR.schema["properties"][section]["properties"][key.name]
    assert said["description"] == key.metadata["says"]
    assert said.get("minimum") == key.metadata.get("low")
    assert "default" in said or key.default is dataclasses.MISSING


@pytest.mark.parametrize(
    "raw",
    [
        {"camra": {}},
        {"camera": {"sauce": "x"}},
        {"camera": "v4l2:/dev/video0"},
        {"camera": {"fps": 0}},
        {"camera": {"fps": "fast"}},
        {"camera": {"rotation": 45}},
        {"camera": {"width": 1.5}},
        {"device": {"name": "Front Door"}},
        {"publish": {"sinks": "jsonl:-"}},
        {"publish": {"sinks": [1]}},
        {"mqtt": {"allow_plaintext_password": 1}},
        {"detector": {"name": "retinaface"}},
    ],
    ids=str,
)
def test_it_refuses_what_the_parser_refuses(raw: dict[str, Any]) -> None:
    assert not accepts(raw)
    assert not parses(raw)


@given(st.lists(st.tuples(places | elsewhere, values), max_size=4))
def test_schema_and_parser_are_of_one_mind(said: list[tuple[tuple[str, str], Any]]) -> None:
    raw: dict[str, dict[str, Any]] = {}
    for (section, name), value in said:
        raw.setdefault(section, {})[name] = value
    if "base_topic" not in raw.get("mqtt", {}):  # which topics a broker takes is told by the parser alone
        assert accepts(raw) == parses(raw), raw


@given(st.from_regex(NAME, fullmatch=True) | st.text(max_size=70))
def test_a_name_is_judged_alike(name: str) -> None:
    if not name.endswith("\n"):  # Python's $ also matches before a last newline; other dialects' does not
        assert accepts({"device": {"name": name}}) == parses({"device": {"name": name}})
