"""Make ``demo/door.mp4`` and its truth table ``demo/truth.csv``.

    python -m demo.make_clip [--out demo/door.mp4]

Needs the fetched pictures (``python -m demo.fetch_pictures``) and Debian's ``ffmpeg`` for H.264.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from demo import masks
from demo.fetch_pictures import PictureError
from demo.portraits import Portrait, portrait
from demo.scene import FPS, HEIGHT, WIDTH, Actor, Camera, Key, background, draw_actor, pose_at
from edge.records import ImageU8

HERE: Final = Path(__file__).resolve().parent
LENGTH_S: Final = 19.8
MASK_RISES_S: Final = 15.0  # when the last visitor begins to put the mask on
MASK_ON_S: Final = 15.75


@dataclass(frozen=True, slots=True)
class Part:
    """What the truth table says of one visit. states: label, from, to (seconds), remark."""

    person: str
    actor: Actor
    states: tuple[tuple[str, float, float, str], ...]


@cache
def masked(name: str, kind: str) -> Portrait:
    return masks.put_on(portrait(name), kind)


def always(name: str, kind: str = "") -> Portrait:
    return masked(name, kind) if kind else portrait(name)


def puts_on(name: str, kind: str, t_s: float) -> Portrait:
    """Bare, then a mask that rises from below within ``MASK_RISES_S`` to ``MASK_ON_S``, then masked."""
    if t_s <= MASK_RISES_S:
        return portrait(name)
    if t_s >= MASK_ON_S:
        return masked(name, kind)
    share = (t_s - MASK_RISES_S) / (MASK_ON_S - MASK_RISES_S)
    bare = portrait(name)
    return masks.put_on(bare, kind, masks.held(bare, share * share * (3 - 2 * share)))


def story() -> list[Part]:
    collins = Actor(
        (
            *(Key(0.2, -60, 52, 0.5), Key(2.0, 400, 90, 0.3), Key(2.6, 415, 94), Key(3.3, 420, 94, -0.2, 2)),
            Key(5.0, 940, 98, 0.5),
        ),
        lambda _: always("collins", "blue"),
        seed=1,
    )
    canon_man = Actor(
        (
            *(Key(4.0, -60, 54, 0.5), Key(5.6, 330, 82, 0.2), Key(6.1, 345, 84), Key(6.7, 350, 84, 0.2, -2)),
            Key(8.2, 940, 78, 0.5),
        ),
        lambda _: always("canon_man"),
        taller=0.25,
        seed=2,
    )
    hopper = Actor(
        (Key(7.3, -60, 66, 0.4), Key(8.9, 270, 76, 0.2), Key(9.6, 330, 76), Key(11.7, 925, 72, 0.4)),
        lambda _: always("hopper"),
        taller=-0.1,
        seed=3,
    )
    photographer = Actor(
        (Key(8.0, 930, 74, -0.3), Key(9.5, 610, 92, -0.1), Key(10.0, 585, 94), Key(12.2, -110, 96, -0.3)),
        lambda _: always("photographer", "white"),
        seed=4,
    )
    returns = Actor(
        (
            *(Key(11.6, 930, 54, -0.5), Key(13.1, 500, 84, -0.2), Key(13.6, 470, 88), Key(14.6, 466, 88, 0.15, 2)),
            *(Key(16.4, 464, 88, 0, -2), Key(17.8, 468, 89, -0.2, 1), Key(19.5, -100, 92, -0.5)),
        ),
        lambda t_s: puts_on("canon_man", "black", t_s),
        taller=0.25,
        seed=5,
    )
    return [
        Part("1 woman, orange flight suit", collins, (("mask", 0, 99, "surgical mask, light blue"),)),
        Part("2 man, glasses", canon_man, (("no_mask", 0, 99, "bare"),)),
        Part("3 woman, naval uniform", hopper, (("no_mask", 0, 99, "bare; hidden behind person 4 for a moment"),)),
        Part("4 woman, dark hair", photographer, (("mask", 0, 99, "white FFP2; passes before person 3"),)),
        Part(
            "5 man, glasses, comes back",
            returns,
            (
                ("no_mask", 0, MASK_RISES_S, "the man of visit 2, away for some seconds: a person of its own"),
                ("changing", MASK_RISES_S, MASK_ON_S, "putting on a black mask"),
                ("mask", MASK_ON_S, 99, "black cloth mask"),
            ),
        ),
    ]


def in_view(actor: Actor, t_s: float) -> bool:
    """Whether the whole face is within the picture."""
    pose = pose_at(actor, t_s)
    return actor.here(t_s) and pose.face_px / 2 <= pose.x <= WIDTH - pose.face_px / 2


def truth_rows(clip: str) -> Iterator[dict[str, str]]:
    times = [i / FPS for i in range(round(LENGTH_S * FPS))]
    for part in story():
        seen = [t for t in times if in_view(part.actor, t)]
        for label, start, end, remark in part.states:
            span = [t for t in seen if start <= t <= end]
            sizes = [pose_at(part.actor, t).face_px for t in span]
            yield {
                "clip": clip,
                "person": part.person,
                "label": label,
                "t_enter": f"{max(start, span[0]):.2f}",
                "t_leave": f"{min(end, span[-1]):.2f}",
                "min_face_px": f"{min(sizes):.0f}",
                "max_face_px": f"{max(sizes):.0f}",
                "remarks": remark,
            }


def write_truth(path: Path, clip: str) -> None:
    rows = list(truth_rows(clip))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def frames() -> Iterator[ImageU8]:
    """The clip, frame by frame; nearer people cover farther ones."""
    room, camera, parts = background(), Camera(), story()
    for i in range(round(LENGTH_S * FPS)):
        t_s = i / FPS
        actors = [p.actor for p in parts if p.actor.here(t_s)]
        canvas = room
        for actor in sorted(actors, key=lambda a: pose_at(a, t_s).face_px):
            canvas = draw_actor(canvas, actor, t_s)
        yield camera.shoot(canvas, t_s)


def encode(path: Path, crf: int) -> None:
    """H.264, one thread and no date inside, so that the same ffmpeg gives the same bytes."""
    part = path.with_name(f".{path.name}.part.mp4")  # nobody should find half a clip
    source = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(FPS), "-i", "-"]
    codec = [
        "-c:v",
        "libx264",
        "-preset",
        "slow",
        "-crf",
        str(crf),
        "-threads",
        "1",
        "-g",
        str(2 * FPS),
        "-pix_fmt",
        "yuv420p",
    ]
    plain = ["-an", "-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart"]
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y", *source, *codec, *plain, str(part)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for frame in frames():
            process.stdin.write(frame.tobytes())
        process.stdin.close()
    if process.returncode:
        raise OSError(f"ffmpeg ended with {process.returncode}")
    part.replace(path)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the demo clip and its truth table.")
    parser.add_argument("--out", type=Path, default=HERE / "door.mp4")
    parser.add_argument("--crf", type=int, default=23, help="x264 quality; lower is larger")
    options = parser.parse_args()
    try:
        encode(options.out, options.crf)
    except (PictureError, OSError) as error:
        print(f"make_clip: {error}", file=sys.stderr)
        return 69
    write_truth(options.out.with_name("truth.csv"), options.out.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
