"""Good files and packets, spoilt at random by a seed: a hundred of each with the other tests, a thousand in
``make test-mutations``."""

from __future__ import annotations

import random
from typing import Final

import pytest

SEED: Final = 20261125
COUNTS: Final = [100, pytest.param(1000, marks=pytest.mark.mutations)]


def flipped(data: bytes, draw: random.Random, most: int = 8) -> bytes:
    """One to ``most`` bytes become others."""
    spoilt = bytearray(data)
    for _ in range(draw.randint(1, most) if data else 0):
        spoilt[draw.randrange(len(spoilt))] = draw.randrange(256)
    return bytes(spoilt)


def cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def dropped(data: bytes, draw: random.Random) -> bytes:
    """A part in the middle is gone."""
    start = draw.randrange(len(data) + 1)
    return data[:start] + data[start + draw.randint(1, 64) :]


def doubled(data: bytes, draw: random.Random) -> bytes:
    """A part in the middle stands there twice."""
    start = draw.randrange(len(data) + 1)
    return data[: start + 64] + data[start:]


def filled(data: bytes, draw: random.Random) -> bytes:
    """Random bytes are put in."""
    start = draw.randrange(len(data) + 1)
    return data[:start] + draw.randbytes(draw.randint(1, 64)) + data[start:]


SPOILERS: Final = (flipped, cut, dropped, doubled, filled)
