"""Looks at one person to at most one decision: pure arithmetic, no pixels, no clock, no I/O.

A sequential test (Wald, "Sequential Tests of Statistical Hypotheses", 1945) adds up the log-odds of the looks and stops
as soon as one side is sure. Looks a few milliseconds apart show nearly the same picture, so each counts by its quality
and by the time since the look before. After the decision a change is told when the other answer has stood for a while.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from edge.records import MASK, NO_MASK, UNCERTAIN, Label, Look, Verdict

SURE: Final = 4.6  # log-odds of 1 wrong in 100: Wald's bound for both kinds of error
FAIRLY_SURE: Final = 2.2  # 1 in 10: enough when no further look will come
LOOK_LIMIT: Final = 3.5  # one look never says more than 97 to 3: a classifier's own certainty is not evidence of that
TOTAL_LIMIT: Final = 6.9  # 1 in 1,000
FULL_LOOK_S: Final = 0.1  # looks closer together share one vote
ROUNDING: Final = 1e-6  # a sum of twenty tenths of a second is not quite two
MIN_LOOKS: Final = 2
MIN_SPAN_S: Final = 0.4  # what is seen while somebody walks in and looks up should not settle it alone
CHANGE_SURE: Final = 1.2  # mean log-odds over the window, against the label so far
CHANGE_SHARE: Final = 0.85  # of the window's weight must be against it
CHANGE_MIN_LOOKS: Final = 4
WATCHED_SHARE: Final = 0.8  # of the time that the other answer has to stand must have been looked at
WATCHED_GAP_S: Final = 0.2
DONE_MEMORY: Final = 1000  # who left lately; numbers only grow, so older ones cannot come back
UNCERTAIN_AFTER_S: Final = 1.0  # a person of whom nothing can be said is told of only when there that long


@dataclass(frozen=True, slots=True)
class Rules:
    """When to give up, and when to believe a change.

    threshold: p_mask from which a look speaks for a mask, 0-1; the model's bundle names it.
    max_looks: good looks after which an unsettled person is ``uncertain``.
    change_s: seconds that the other answer has to stand before a change is told.
    """

    threshold: float = 0.5
    max_looks: int = 40
    change_s: float = 1.0


@dataclass(frozen=True, slots=True)
class _Vote:
    t_s: float
    evidence: float  # log-odds against the threshold, positive for mask, limited
    log_odds: float  # of p_mask itself, limited
    weight: float  # 0-1
    incorrect: float


@dataclass(slots=True)
class _Person:
    first_s: float  # of looks of any quality
    last_s: float = 0.0
    looks: int = 0
    weight: float = 0.0
    total: float = 0.0  # weighted evidence
    odds: float = 0.0  # weighted log-odds: what p_mask is told from
    credit: float = 1.0  # weight that may still be given away: one full look per FULL_LOOK_S
    incorrect: float = 0.0  # weighted share of badly worn among what spoke against a mask
    last_vote_s: float = -math.inf
    first_vote_s: float = 0.0
    label: Label | None = None
    recent: list[_Vote] = field(default_factory=list)


class Decider:
    """Watches the looks of all persons. Nothing it is given makes it decide twice for one person."""

    def __init__(self, rules: Rules = Rules()) -> None:
        self._rules = rules
        self._persons: dict[int, _Person] = {}
        self._done: deque[int] = deque(maxlen=DONE_MEMORY)

    def use(self, rules: Rules) -> None:
        """Judge by these from the next look on; what was seen so far keeps its weight."""
        self._rules = rules

    def observe(self, looks: Iterable[Look]) -> list[Verdict]:
        """Looks of one frame, at most one a person; their order says nothing. Looks at persons who left are ignored."""
        verdicts = []
        for look in sorted(looks, key=lambda k: k.person):
            if look.person not in self._done:
                person = self._persons.setdefault(look.person, _Person(first_s=look.t_s))
                person.last_s = look.t_s
                verdicts += self._observe(look, person)
        return verdicts

    def leave(self, person_id: int, stayed_s: float) -> list[Verdict]:
        """A person is gone: decided now at the latest, then left. Nothing for one who was hardly there."""
        person = self._persons.pop(person_id, None)
        if person is None:
            return []
        self._done.append(person_id)
        verdicts = []
        if person.label is None:
            label = self._leaning(person)
            if label == UNCERTAIN and person.last_s - person.first_s < UNCERTAIN_AFTER_S:
                return []
            verdicts.append(self._decide(person_id, person, label))
        told = person.label or UNCERTAIN
        left = Verdict("left", person_id, told, probability(person.odds), person.looks, stayed_s=round(stayed_s, 3))
        return [*verdicts, left]

    def _observe(self, look: Look, person: _Person) -> list[Verdict]:
        vote = weigh(look, person, self._rules.threshold)
        if vote is None:
            return []
        count(person, vote)
        person.recent.append(vote)
        standing = window(person.recent, self._rules.change_s)
        person.recent = standing or person.recent
        if person.label is None:
            label = self._settled(person)
            return [self._decide(look.person, person, label)] if label else []
        return self._changed(look.person, person, standing)

    def _settled(self, person: _Person) -> Label | None:
        """The sequential test: sure, out of looks, or not yet."""
        span_s = person.last_vote_s - person.first_vote_s
        if person.looks >= MIN_LOOKS and span_s >= MIN_SPAN_S and abs(person.total) >= SURE:
            return MASK if person.total > 0 else NO_MASK
        return UNCERTAIN if person.weight >= self._rules.max_looks - ROUNDING else None

    def _leaning(self, person: _Person) -> Label:
        """No further look will come."""
        if person.looks < MIN_LOOKS or abs(person.total) < FAIRLY_SURE:
            return UNCERTAIN
        return MASK if person.total > 0 else NO_MASK

    def _decide(self, person_id: int, person: _Person, label: Label) -> Verdict:
        person.label = label
        incorrect = label == NO_MASK and person.incorrect > person.weight / 2
        return Verdict("decided", person_id, label, probability(person.odds), person.looks, incorrect)

    def _changed(self, person_id: int, person: _Person, votes: list[_Vote]) -> list[Verdict]:
        if watched_s(votes) < WATCHED_SHARE * self._rules.change_s:
            return []
        now = opposite(votes, person.label)
        if now is None or person.label is None:
            return []
        was, person.label = person.label, now
        person.total, person.weight = sum(v.evidence * v.weight for v in votes), sum(v.weight for v in votes)
        person.odds = sum(v.log_odds * v.weight for v in votes)
        person.incorrect = sum(v.incorrect * v.weight for v in votes)
        incorrect = now == NO_MASK and person.incorrect > person.weight / 2
        return [Verdict("changed", person_id, now, probability(person.odds), person.looks, incorrect, was=was)]


def weigh(look: Look, person: _Person, threshold: float) -> _Vote | None:
    """A look as a vote, or None where it does not count. What it weighs is taken from the person's credit."""
    p = look.reading.p_mask
    if person.looks:
        person.credit = min(1.0, person.credit + (look.t_s - person.last_vote_s) / FULL_LOOK_S)
    weight = min(look.quality, person.credit)
    if not (weight > 0 and 0 <= p <= 1):
        return None
    person.credit -= weight
    evidence = limited(log_odds(p) - log_odds(threshold))
    return _Vote(look.t_s, evidence, limited(log_odds(p)), weight, (1 - p) * look.reading.p_incorrect)


def limited(evidence: float) -> float:
    return max(-LOOK_LIMIT, min(LOOK_LIMIT, evidence))


def count(person: _Person, vote: _Vote) -> None:
    if not person.looks:
        person.first_vote_s = vote.t_s
    person.looks += 1
    person.weight += vote.weight
    person.total += vote.weight * vote.evidence
    person.odds += vote.weight * vote.log_odds
    person.incorrect += vote.weight * vote.incorrect
    person.last_vote_s = vote.t_s


def window(votes: list[_Vote], change_s: float) -> list[_Vote]:
    """The latest votes that reach back over ``change_s`` and are enough to tell a change; empty where there are none.

    By the votes and not by the clock alone: at 6 frames a second no look need be between 1.0 and 1.1 s old.
    """
    reaching = [i for i, v in enumerate(votes) if votes[-1].t_s - v.t_s >= change_s - ROUNDING]
    if not reaching or len(votes) < CHANGE_MIN_LOOKS:
        return []
    return votes[min(reaching[-1], len(votes) - CHANGE_MIN_LOOKS) :]


def watched_s(votes: list[_Vote]) -> float:
    """For how long the votes really looked: a hole between two of them counts no more than two usual gaps."""
    gaps = [b.t_s - a.t_s for a, b in itertools.pairwise(votes)]
    return sum(min(gap, max(WATCHED_GAP_S, 2 * median(gaps))) for gap in gaps)


def opposite(votes: list[_Vote], label: Label | None) -> Label | None:
    """The other label, where almost all votes stand for it, clearly, and from the first of them on."""
    weight = sum(v.weight for v in votes)
    if not weight:
        return None
    mean = sum(v.weight * v.evidence for v in votes) / weight
    agreeing = [v for v in votes if (v.evidence > 0) == (mean > 0)]
    share = sum(v.weight for v in agreeing) / weight
    is_clear = abs(mean) >= CHANGE_SURE and share >= CHANGE_SHARE and agreeing[0] is votes[0]
    new: Label = MASK if mean > 0 else NO_MASK
    return new if new != label and is_clear else None


def log_odds(p: float) -> float:
    bounded = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(bounded / (1 - bounded))


def probability(total: float) -> float:
    """Of ``mask``, 0-1. Never surer than the classifier can be: it errs on a person, not on each look anew."""
    return 1 / (1 + math.exp(-max(-TOTAL_LIMIT, min(TOTAL_LIMIT, total))))
