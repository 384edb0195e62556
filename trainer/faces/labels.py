"""Which words mean which label; the one place that says so, for folders, tables and annotations alike."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from edge.errors import UsageError
from edge.records import INCORRECT, MASK, NO_MASK

LABELS: Final = (MASK, NO_MASK, INCORRECT)  # index order of a model
SPELLINGS: Final = {
    **dict.fromkeys(("mask", "with_mask", "withmask", "masked"), MASK),
    **dict.fromkeys(("no_mask", "nomask", "without_mask", "withoutmask", "bare"), NO_MASK),
    **dict.fromkeys(
        ("incorrect", "incorrect_mask", "with_incorrect_mask", "mask_weared_incorrect", "badly_worn"), INCORRECT
    ),
}


def plain(word: str) -> str:
    """``No mask``, ``no-mask`` and ``NO_MASK`` are one word."""
    return re.sub(r"[\s_-]+", "_", word.strip().lower())


class Naming:
    """Words to labels: the usual spellings, and what the user added with ``--map WORD=LABEL``.

    Raises UsageError where a pair is not WORD=LABEL.
    """

    def __init__(self, pairs: Iterable[str] = ()) -> None:
        self._labels = dict(SPELLINGS)
        self._waiting: dict[str, str] = {}
        for pair in pairs:
            word, _, label = pair.rpartition("=")
            if not word or plain(label) not in SPELLINGS:
                raise UsageError(f"--map {pair!r} must be WORD=LABEL with a label of {', '.join(LABELS)}")
            self._labels[plain(word)] = SPELLINGS[plain(label)]
            self._waiting[plain(word)] = word

    def refuse_unmet(self) -> None:
        """Raise UsageError for a word of ``--map`` that no photo came with: a typo would drop its photos."""
        if self._waiting:
            words = ", ".join(self._waiting.values())
            raise UsageError(f"--map {words}: no folder or label has that name: look how it is spelled there")

    def label(self, word: str) -> str | None:
        """The label that a word stands for, None where it stands for none."""
        self._waiting.pop(plain(word), None)
        return self._labels.get(plain(word))
