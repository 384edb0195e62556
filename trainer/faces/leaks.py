"""What tells the class without looking at a mask: size, type and quality of the files, their source, their sharpness.

Where the photos of one class come from another maker than those of the other, a model may learn the maker. Every
feature by itself, and all together, predict the class with a small decision tree, judged on groups that the tree has
not seen (scikit-learn's trees and folds). 50% is chance.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from edge.records import INCORRECT, MASK, NO_MASK
from trainer.faces.labels import LABELS
from trainer.faces.manifest import FaceRow

WARN_FROM: Final = 0.6
FOLDS: Final = 5
FEWEST_GROUPS: Final = 10  # of a class, for five folds to say anything
LEAVES, SMALLEST_LEAF = 12, 5  # enough for a dozen sources or sizes, too few to learn single photos
PUBLISHED: Final = re.compile(r"(\d+)x(\d+) ?(\S*)")

Columns: TypeAlias = list[list[float]]
Model: TypeAlias = DecisionTreeClassifier | RandomForestClassifier


@dataclass(frozen=True, slots=True)
class Leak:
    """how: what was looked at. wears, badly: balanced accuracy (0-1) of mask against no_mask, and of incorrect against
    the rest; None where there are too few groups. margins: from which distance to 0.5 on each is no accident, two
    standard errors.
    """

    how: str
    wears: float | None
    badly: float | None
    margins: tuple[float, float]

    @property
    def told(self) -> float | None:
        """The larger of the figures that are to be warned of; None where none is."""
        figures = zip((self.wears, self.badly), self.margins, strict=True)
        return max((v for v, margin in figures if v is not None and v >= max(WARN_FROM, 0.5 + margin)), default=None)

    @property
    def is_warned(self) -> bool:
        return self.told is not None


def _size(rows: Sequence[FaceRow]) -> Columns:
    return [[w, h, w * h, w / h] for w, h in ((r.photo_width or 1, r.photo_height or 1) for r in rows)]


def _published_size(rows: Sequence[FaceRow]) -> Columns:
    sizes = [PUBLISHED.match(r.published) for r in rows]
    return [[w, h, w * h, w / h] for w, h in ((float(m[1]) or 1, float(m[2]) or 1) if m else (1, 1) for m in sizes)]


def _one_hot(words: Sequence[str]) -> Columns:
    known = sorted(set(words))
    return [[float(word == k) for k in known] for word in words]


def _published_type(rows: Sequence[FaceRow]) -> Columns:
    return _one_hot([m[3] if (m := PUBLISHED.match(r.published)) else "" for r in rows])


FEATURES: Final[dict[str, Callable[[Sequence[FaceRow]], Columns]]] = {
    "picture size": _size,
    "picture size as first published": _published_size,
    "file type": lambda rows: _one_hot([r.file_type for r in rows]),
    "file type as first published": _published_type,
    "colour mode": lambda rows: _one_hot([r.mode for r in rows]),
    "JPEG quality": lambda rows: [[r.jpeg_quality] for r in rows],
    "face size": lambda rows: [[r.shorter_px] for r in rows],
    "sharpness above the mask": lambda rows: [[r.sharpness] for r in rows],
    "source": lambda rows: _one_hot([r.source for r in rows]),
}
TOGETHER: Final = "all of these but the source"


@dataclass(frozen=True, slots=True)
class Question:
    """A class against others, over the rows that it is asked of, and how to ask it of unseen groups.

    asked: (n,) bool. is_it: (asked,) bool. folds: rows to learn from and to ask, or None where groups are too few.
    margin: two standard errors of an answer by chance.
    """

    asked: npt.NDArray[np.bool_]
    is_it: npt.NDArray[np.bool_]
    folds: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] | None
    margin: float

    def answered(self, x: npt.NDArray[np.float64], model: Model) -> float | None:
        """Balanced accuracy, 0-1, of a model that saw only other groups. x: (n, columns)."""
        if self.folds is None:
            return None
        guessed = cross_val_predict(model, x[self.asked], self.is_it, cv=self.folds)
        return float(balanced_accuracy_score(self.is_it, guessed))


def ask(rows: Sequence[FaceRow], label: str, among: Sequence[str]) -> Question:
    """Whether a face has this label, asked of the faces with a label ``among`` these."""
    asked = np.array([r.label in among for r in rows], bool)
    is_it = np.array([r.label == label for r in rows if r.label in among], bool)
    groups = np.array([r.group for r in rows if r.label in among])
    fewest = min(len(set(groups[is_it])), len(set(groups[~is_it])))
    if fewest < FEWEST_GROUPS:
        return Question(asked, is_it, None, _margin(fewest))
    dealt = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(groups, is_it, groups)
    return Question(asked, is_it, list(dealt), _margin(fewest))


def find_leaks(rows: Sequence[FaceRow]) -> list[Leak]:
    """One line per feature that differs at all, and one for all but the source together."""
    measured = {how: np.array(of(rows), np.float64) for how, of in FEATURES.items()}
    differing = {how: x for how, x in measured.items() if len(x) and np.ptp(x, axis=0).any()}
    wears, badly = ask(rows, MASK, (MASK, NO_MASK)), ask(rows, INCORRECT, LABELS)
    margins = wears.margin, badly.margin
    leaks = [Leak(how, wears.answered(x, _tree()), badly.answered(x, _tree()), margins) for how, x in differing.items()]
    together = [x for how, x in differing.items() if how != "source"]
    if len(together) > 1:
        x = np.concatenate(together, axis=1)
        leaks.append(Leak(TOGETHER, wears.answered(x, _forest()), badly.answered(x, _forest()), margins))
    return leaks


def _margin(groups: int) -> float:
    """Two standard errors of a balanced accuracy of 0.5 over this many groups of either side, each counted as one face.

    groups: those of the rarer side.
    """
    return float(2 * 0.5 / (2 * max(groups, 1)) ** 0.5)


def _tree() -> DecisionTreeClassifier:
    return DecisionTreeClassifier(
        max_leaf_nodes=LEAVES, min_samples_leaf=SMALLEST_LEAF, class_weight="balanced", random_state=0
    )


def _forest() -> RandomForestClassifier:
    return RandomForestClassifier(60, min_samples_leaf=SMALLEST_LEAF, class_weight="balanced", random_state=0)
