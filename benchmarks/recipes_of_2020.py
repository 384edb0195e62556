"""The reference project's two recipes as written, and what each of their faults costs.

    python benchmarks/recipes_of_2020.py --weights mobilenet_v2.weights.h5 [--shared ../shared] [--recipe reference]

Its 1,100 photos cannot be had; ``chandrika`` is the set of its kind: 500 masked and 600 bare whole photos, squeezed
to a square, with 331 second copies of bare ones dealt anew between the two sides, as in its notebook. "In split" is the
accuracy on its own validation side, "wild" the balanced accuracy on faces of other sources, as whole cut-outs squeezed
likewise. Each further row puts one fault right and keeps all others.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from edge.detect import Detector, YuNet
from edge.preprocess import crop_face
from edge.records import Box, ImageU8
from edge.third_party import locate
from trainer.learn.recipes import baseline_cnn, reference
from trainer.learn.recipes.classic import Passes, fit_pictures
from trainer.learn.strategies import open_strategy

MASKED, BARE = 500, 600
COPIES: Final = 331  # second copies of bare photos in the reference's folders
VALIDATION: Final = 350 / 1100
WILD: Final = ("mask_types", "street_masks")  # the catalogue took out what is a copy of a photo in chandrika
MARGIN: Final = 0.2
BATCH: Final = 20
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Photo:
    """A whole photo with one face. label: 0 masked, 1 bare. box: where the publisher says the face is, or None."""

    path: Path
    label: int
    group: str
    box: Box | None


@dataclass(frozen=True, slots=True)
class Variant:
    """What is as in 2020: the polluted split, the loss, the scale of training and of prediction, the squeezed photo."""

    name: str
    polluted: bool = True
    from_logits: bool = True
    unit_scale: bool = True
    rescaled: bool = False  # whether predictions get the pixels scaled as training did
    squeezed: bool = True


AS_WRITTEN: Final = Variant("as written")
RIGHT: Final = Variant(
    "all put right", polluted=False, from_logits=False, unit_scale=False, rescaled=True, squeezed=False
)
REFERENCE: Final = (
    AS_WRITTEN,
    Variant("predictions rescaled", rescaled=True),
    Variant("split by group, no copies; predictions rescaled", polluted=False, rescaled=True),
    Variant("loss on shares, not logits; predictions rescaled", from_logits=False, rescaled=True),
    Variant("pixels in -1..1; predictions rescaled", unit_scale=False, rescaled=True),
    Variant("faces cut, not squeezed photos; predictions rescaled", squeezed=False, rescaled=True),
    RIGHT,
)
BASELINE: Final = (
    AS_WRITTEN,
    Variant("predictions rescaled", rescaled=True),
    Variant("split by group, no copies; predictions rescaled", polluted=False, rescaled=True),
    Variant("faces cut, not squeezed photos; predictions rescaled", squeezed=False, rescaled=True),
)


def photos(folder: Path) -> list[Photo]:
    """Masked and bare photos of a set; badly worn ones take no part, as the reference had none."""
    found = []
    with (folder / "labels.csv").open(newline="") as f:
        for row in csv.DictReader(f):
            label = {"with_mask": 0, "without_mask": 1}.get(row["label"])
            if label is not None:
                box = Box(*(float(row[k]) for k in "xywh")) if row["x"] else None
                found.append(Photo(folder / row["path"], label, f"{folder.name}:{row['group'] or row['path']}", box))
    return found


def like_2020(every: Sequence[Photo], rng: random.Random) -> list[Photo]:
    masked, bare = ([p for p in every if p.label == label] for label in (0, 1))
    return rng.sample(masked, MASKED) + rng.sample(bare, BARE)


def deal(every: Sequence[Photo], variant: Variant, rng: random.Random) -> tuple[list[Photo], list[Photo]]:
    """Training and validation photos: dealt photo by photo with copies as in 2020, or by whole groups without."""
    if variant.polluted:
        dealt = [*every, *rng.sample([p for p in every if p.label == 1], COPIES)]
        rng.shuffle(dealt)
        cut = round(len(dealt) * VALIDATION)
        return dealt[cut:], dealt[:cut]
    groups = sorted({p.group for p in every})
    rng.shuffle(groups)
    held: set[str] = set()
    for group in groups:
        if sum(p.group in held for p in every) < len(every) * VALIDATION:
            held.add(group)
    return [p for p in every if p.group not in held], [p for p in every if p.group in held]


def read(photo: Photo) -> ImageU8:
    image = cv2.imread(str(photo.path))
    if image is None:
        raise SystemExit(f"{photo.path} cannot be read")
    return image.astype(np.uint8, copy=False)


class Pictures:
    """Photos as squares of ``size_px``, RGB: squeezed, or the largest face cut as the device cuts it."""

    def __init__(self, size_px: int) -> None:
        self._size_px = size_px
        self._detector: Detector = YuNet(locate("yunet").data)
        self._kept: dict[tuple[Path, bool], ImageU8] = {}

    def of(self, chosen: Sequence[Photo], squeezed: bool) -> tuple[ImageU8, Labels]:
        images = [self._one(p, squeezed) for p in chosen]
        return np.stack(images), np.array([p.label for p in chosen], np.int64)

    def _one(self, photo: Photo, squeezed: bool) -> ImageU8:
        key = photo.path, squeezed
        if key not in self._kept:
            self._kept[key] = self._made(photo, squeezed)
        return self._kept[key]

    def _made(self, photo: Photo, squeezed: bool) -> ImageU8:
        image = read(photo)
        faces = [] if squeezed else self._detector.find(image)
        box = faces[0].box if faces else photo.box
        if squeezed or box is None:
            small = cv2.resize(image, (self._size_px, self._size_px), interpolation=cv2.INTER_AREA)
            return cv2.cvtColor(small, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        return crop_face(image, box, MARGIN, self._size_px)


def called_bare(model: Any, images: ImageU8, rescaled: bool) -> npt.NDArray[np.bool_]:
    """What the network says; without rescaling it is given 0..255, as the reference's prediction cells did."""
    scale = np.float32(1 / 255 if rescaled else 1)
    parts = [
        np.asarray(model(images[at : at + 64].astype(np.float32) * scale, training=False))
        for at in range(0, len(images), 64)
    ]
    said = np.concatenate(parts)
    told: npt.NDArray[np.bool_] = said[:, 1] > said[:, 0] if said.shape[1] == 2 else said[:, 0] > 0.5
    return told


def recalls(model: Any, images: ImageU8, labels: Labels, rescaled: bool) -> tuple[float, float]:
    """Shares of masked and of bare pictures that are told right."""
    bare = called_bare(model, images, rescaled)
    return float((~bare[labels == 0]).mean()), float(bare[labels == 1].mean())


def trained(recipe: str, variant: Variant, images: ImageU8, labels: Labels, weights: str) -> tuple[Any, float, int]:
    """The network after its epochs, its last training accuracy and the number of epochs."""
    strategy = open_strategy("one")
    passes = Passes(images, labels, BATCH, seed=1)
    if recipe == "reference":
        faults = reference.Faults(from_logits=variant.from_logits, unit_scale=variant.unit_scale)
        model = reference.network(Path(weights), 1, faults)
        met = list(fit_pictures(reference.lesson(model, reference.RATE, 1, faults), passes, 15, strategy))
    else:
        model = baseline_cnn.network(1)
        lesson = baseline_cnn.lesson(model, baseline_cnn.RATE, 1)
        met = list(fit_pictures(lesson, passes, 50, strategy, is_enough=lambda m: m.accuracy > baseline_cnn.ENOUGH))
    return model, met[-1].accuracy, len(met)


def variants(recipe: str) -> Sequence[Variant]:
    return REFERENCE if recipe == "reference" else BASELINE


def rows(recipe: str, data: Path, weights: str) -> Iterator[str]:
    """A line of the table per variant. What only changes prediction is not trained again."""
    pictures = Pictures(reference.INPUT_PX if recipe == "reference" else baseline_cnn.INPUT_PX)
    every = like_2020(photos(data / "chandrika"), random.Random(1))
    wild = [p for name in WILD for p in photos(data / name)]
    known: dict[Variant, tuple[Any, float, int]] = {}
    for variant in variants(recipe):
        training, validation = deal(every, variant, random.Random(2))
        key = replace(variant, name="", rescaled=True)
        if key not in known:
            known[key] = trained(recipe, variant, *pictures.of(training, variant.squeezed), weights)
        model, accuracy, epochs = known[key]
        own, own_labels = pictures.of(validation, variant.squeezed)
        in_split = np.mean(called_bare(model, own, rescaled=True) == (own_labels == 1))
        mask, bare = recalls(model, *pictures.of(wild, variant.squeezed), variant.rescaled)
        told = f"{in_split:.1%} | {(mask + bare) / 2:.1%} | {mask:.1%} | {bare:.1%}"
        yield f"| `{recipe}` | {variant.name} | {epochs} | {accuracy:.1%} | {told} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, help="width 1.0")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--recipe", action="append", choices=("reference", "baseline_cnn"))
    args = parser.parse_args()
    data = args.shared / "data"
    if not data.is_dir():
        raise SystemExit(f"{data} is not here: this benchmark needs labelled photos")
    print("| recipe | | epochs | training accuracy | in split | wild: balanced | masked right | bare right |")
    print("|---|---|---|---|---|---|---|---|")
    for recipe in args.recipe or ("reference", "baseline_cnn"):
        for line in rows(recipe, data, args.weights):
            print(line, flush=True)


if __name__ == "__main__":
    main()
