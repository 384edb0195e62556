"""The daemon with a leak: what ``edge`` keeps of every frame here is what no test could see in a minute."""

from __future__ import annotations

import sys
from typing import Final

from edge.__main__ import main
from edge.pipeline import Pipeline, Told
from edge.records import Frame

LEAK_BYTES: Final = 200  # a frame; 260 MB a day at 15 frames per second

kept: list[bytes] = []
process = Pipeline.process


def leaky(self: Pipeline, frame: Frame) -> list[Told]:
    kept.append(bytes(LEAK_BYTES))
    return process(self, frame)


if __name__ == "__main__":
    Pipeline.process = leaky  # type: ignore[method-assign]
    sys.exit(main())
