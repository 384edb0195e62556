"""Named parts of a prepared set, each with its own score: where models of this kind fail, a mean over all hides it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge.records import INCORRECT, NO_MASK
from trainer.faces.labels import LABELS
from trainer.faces.manifest import FaceRow
from trainer.judge.looks import DARKEST, GREY, LIGHT, SHARPNESS, SKIN_TONES, UNCLEAR, Look
from trainer.learn.draws import HARD_BARE
from trainer.metrics import INCORRECT_AT, Floats, Ints, Score, score, wilson

Which = npt.NDArray[np.bool_]
SIZES_PX: Final = ((0, 32), (32, 48), (48, 96), (96, 100_000))
FEWEST: Final = 10  # faces of a class without which nothing can be called weak
FEW: Final = 30  # faces of a class below which its share says little

# What the first part of a slice's name means, for people who read a table of them.
KINDS: Final = {
    "face_px": "Size of the face: shorter side of its box, in pixels of the photo",
    "sharpness": "Sharpness, as the device measures it: blurred faces do not vote there",
    "light": "Light on the face: mean luma of 255, dark below 70, dim below 110, bright from 170 on",
    "skin": "Skin tone as pictured: a proxy by the Individual Typology Angle of the skin about the eyes; light and "
    "white balance disturb it, so that it tells dark faces in the picture rather than dark skin",
    "mask_colour": "Colour of the mask: median colour about the mouth of masked and badly worn faces",
    "bare": "Bare faces with something that may be taken for a mask: as flagged by eye; a face may be in several",
    "badly_worn": "A mask that leaves nose or mouth bare: to be called no_mask",
    "source": "Where the photo comes from",
}
ORDER: Final = {
    "sharpness": tuple(word for _, word in SHARPNESS),
    "light": tuple(word for _, word in LIGHT),
    "skin": (*(word for _, word in SKIN_TONES), DARKEST, GREY, UNCLEAR),
}


@dataclass(frozen=True, slots=True)
class Slice:
    """n faces of ``groups`` groups (people or scenes). counts, group_counts: faces and groups by label, in the order of
    ``LABELS``. ci95: of the shares, in the order of ``Score``'s last three (mask right, bare right, badly worn called
    mask), by Wilson with the class's groups as n: faces of one group are not independent."""

    n: int
    groups: int
    counts: tuple[int, ...]
    group_counts: tuple[int, ...]
    score: Score
    ci95: tuple[tuple[float, float], ...]

    @property
    def is_thin(self) -> bool:
        """Whether a class that is there has so few faces that its share says little."""
        return any(0 < count < FEW for count in self.counts)

    def is_weak(self, label: int, overall: float) -> bool:
        """Whether a class does worse here than over all faces by more than chance explains. overall: share right there.

        One wrong face proves nothing, and in a handful of faces neither do two.
        """
        low, high = self.ci95[label]
        share = shares_right(self.score)[label]
        wrong = (1 - share) * self.counts[label]
        best = 1 - low if label == INCORRECT_AT else high
        return self.counts[label] >= FEWEST and round(wrong) >= 2 and best < overall


_EACH: Final = range(len(LABELS))


def cut(
    p_mask: Floats, labels: Ints, rows: Sequence[FaceRow], threshold: float, looks: Sequence[Look] = ()
) -> dict[str, Slice]:
    """Every slice that is not empty, by name. looks: of the same rows, or none: then no slice is cut by pixels."""
    groups = np.array([r.group for r in rows])
    return {
        name: measure(p_mask[where], labels[where], groups[where].tolist(), threshold)
        for name, where in slices(rows, looks)
    }


def measure(p_mask: Floats, labels: Ints, groups: Sequence[str], threshold: float) -> Slice:
    found = score(p_mask, labels, threshold)
    shares = found.mask_right, found.bare_right, found.incorrect_called_mask
    group_counts = tuple(len({g for g, is_own in zip(groups, labels == i, strict=True) if is_own}) for i in _EACH)
    return Slice(
        n=len(labels),
        groups=len(set(groups)),
        counts=tuple(int((labels == i).sum()) for i in _EACH),
        group_counts=group_counts,
        score=found,
        ci95=tuple(wilson(share * n, n) for share, n in zip(shares, group_counts, strict=True)),
    )


def slices(rows: Sequence[FaceRow], looks: Sequence[Look] = ()) -> Iterator[tuple[str, Which]]:
    """Named subsets that are not empty, each as (n,) bool."""
    for low, high in SIZES_PX:
        name = f"face_px:{low}-{high}" if high < SIZES_PX[-1][1] else f"face_px:{low}+"
        yield from _there(name, [low <= r.shorter_px < high for r in rows])
    yield from _by_look(looks)
    yield from _hard_bare(rows)
    yield from _there("badly_worn", [r.label == INCORRECT for r in rows])
    for source in sorted({r.source for r in rows}):
        yield f"source:{source}", np.array([r.source == source for r in rows])


def _by_look(looks: Sequence[Look]) -> Iterator[tuple[str, Which]]:
    for kind, words in ORDER.items():
        for word in words:
            yield from _there(f"{kind}:{word}", [getattr(each, kind) == word for each in looks])
    for colour in sorted({each.cloth for each in looks} - {""}):
        yield f"mask_colour:{colour}", np.array([each.cloth == colour for each in looks])


def _hard_bare(rows: Sequence[FaceRow]) -> Iterator[tuple[str, Which]]:
    """Bare faces by what hides or colours them, as flagged; a face may be in several."""
    flags = [set(r.flags.split()) if r.label == NO_MASK else set() for r in rows]
    for flag in sorted(HARD_BARE):
        yield from _there(f"bare:{flag}", [flag in own for own in flags])
    yield from _there("bare:all_of_these", [bool(own & HARD_BARE) for own in flags])


def _there(name: str, which: Sequence[bool]) -> Iterator[tuple[str, Which]]:
    if any(which):
        yield name, np.array(which)


def shares_right(s: Score) -> tuple[float, float, float]:
    """What is right of each class, in the order of ``LABELS``: of badly worn masks those not called mask."""
    return s.mask_right, s.bare_right, 1 - s.incorrect_called_mask


def intervals_right(cut_out: Slice) -> tuple[tuple[float, float], ...]:
    """Of ``shares_right``: the interval of badly worn masks turned to those that are told right."""
    mask, bare, (low, high) = cut_out.ci95
    return mask, bare, (1 - high, 1 - low)


def as_json(cut_out: Slice) -> dict[str, Any]:
    s = cut_out.score
    mask, bare, worn = ([number(v) for v in pair] for pair in cut_out.ci95)
    return {
        "n": cut_out.n,
        "groups": cut_out.groups,
        "counts": {label: n for label, n in zip(LABELS, cut_out.counts, strict=True) if n},
        "group_counts": {label: n for label, n in zip(LABELS, cut_out.group_counts, strict=True) if n},
        "mask_recall": number(s.mask_right),
        "no_mask_recall": number(s.bare_right),
        "incorrect_called_mask": number(s.incorrect_called_mask),
        "ci95": {"mask_recall": mask, "no_mask_recall": bare, "incorrect_called_mask": worn},
    }


def thin(found: Mapping[str, Slice]) -> list[str]:
    return [name for name, each in found.items() if each.is_thin]


def number(value: float) -> float | None:
    """For JSON, which knows no NaN."""
    return None if math.isnan(value) else round(float(value), 4)
