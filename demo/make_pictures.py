"""Make the small pictures of ``tests/data``.

python -m demo.make_pictures
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from PIL import Image

from demo import masks
from demo.fetch_pictures import ROOT, PictureError
from demo.portraits import portrait
from demo.scene import Actor, Camera, Key, background, draw_actor
from demo.stills import Still, render
from edge.records import ImageU8

OUT: Final = ROOT / "tests" / "data"
ORIENTATION: Final = 0x0112  # EXIF tag; 6 means: stored turned, show a quarter turn clockwise


def to_pillow(bgr: ImageU8) -> Image.Image:
    return Image.fromarray(bgr[..., ::-1].copy())


def head_and_shoulders(still: Still) -> Image.Image:
    """The upper part of a portrait, 4:5."""
    picture = to_pillow(render(still))
    center = portrait(still.person).center
    factor = still.face_px / portrait(still.person).face_px
    x, y, half = center[0] * factor, center[1] * factor, 1.45 * still.face_px
    top = max(0.0, y - 1.35 * still.face_px)
    return picture.crop((round(max(0, x - half)), round(top), round(x + half), round(top + 2.5 * half)))


def two_people() -> Image.Image:
    """One masked and one bare person side by side in the room, 854x480."""
    blue = masks.put_on(portrait("collins"), "blue")
    bare = portrait("hopper")
    visitors = (
        Actor((Key(0, 285, 96), Key(9, 285, 96)), lambda _: blue),
        Actor((Key(0, 575, 92), Key(9, 575, 92)), lambda _: bare, taller=0.1),
    )
    scene = background()
    for visitor in visitors:
        scene = draw_actor(scene, visitor, 1.0)
    return to_pillow(Camera(noise=1.2).shoot(scene, 1.0))


def save(picture: Image.Image, path: Path, orientation: int = 1) -> None:
    exif = Image.Exif()
    if orientation != 1:
        exif[ORIENTATION] = orientation
    picture.save(path, quality=84, optimize=True, exif=exif)


def make() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    bare = head_and_shoulders(Still("portrait_bare", "collins"))
    save(bare, OUT / "portrait_bare.jpg")
    save(head_and_shoulders(Still("portrait_mask", "photographer", "white")), OUT / "portrait_mask.jpg")
    save(bare.transpose(Image.Transpose.ROTATE_90), OUT / "portrait_exif6.jpg", orientation=6)
    save(two_people(), OUT / "two_people.jpg")


def main() -> int:
    try:
        make()
    except PictureError as error:
        print(f"make_pictures: {error}", file=sys.stderr)
        return 69
    return 0


if __name__ == "__main__":
    sys.exit(main())
