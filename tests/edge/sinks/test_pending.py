"""Events on their way: none lost below the limit, none twice, in order; the place of the outbox."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge.sinks.pending import Pending, Waiting


def held(pending: Pending) -> list[int]:
    """All numbers that are held, as the sender would meet them."""
    seqs: list[int] = []
    while waiting := pending.next(seqs[-1] if seqs else 0):
        seqs.append(waiting.seq)
    return seqs


def test_event_stays_until_it_is_acknowledged() -> None:
    pending = Pending(10)
    pending.put(1, b"one")
    assert pending.next(0) == pending.next(0) == Waiting(1, b"one")
    pending.ack(1)
    assert pending.next(0) is None


def test_acknowledgements_in_any_order_leave_the_rest_in_order() -> None:
    pending = Pending(10)
    for seq in range(1, 6):
        pending.put(seq, b"")
    for seq in (4, 1):
        pending.ack(seq)
    assert held(pending) == [2, 3, 5]


def test_oldest_makes_room_for_the_newest_and_is_counted() -> None:
    pending = Pending(3)
    for seq in range(1, 6):
        pending.put(seq, b"")
    assert (held(pending), pending.dropped) == ([3, 4, 5], 2)


def test_acknowledgement_of_a_dropped_event_is_passed_over() -> None:
    pending = Pending(1)
    pending.put(1, b"")
    pending.put(2, b"")
    pending.ack(1)
    assert (held(pending), pending.dropped) == ([2], 1)


def test_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        Pending(0)


class PendingLife(RuleBasedStateMachine):
    """Against a plain list that nobody could get wrong."""

    LIMIT = 5

    def __init__(self) -> None:
        super().__init__()
        self.pending = Pending(self.LIMIT)
        self.model: list[Waiting] = []
        self.last_seq = 0
        self.dropped = 0

    @rule(payload=st.binary(max_size=3), step=st.integers(1, 3))
    def put(self, payload: bytes, step: int) -> None:
        self.last_seq += step
        self.pending.put(self.last_seq, payload)
        self.model.append(Waiting(self.last_seq, payload))
        if len(self.model) > self.LIMIT:
            self.model.pop(0)
            self.dropped += 1

    @rule(seq=st.integers(0, 40))
    def ack(self, seq: int) -> None:
        self.pending.ack(seq)
        self.model = [waiting for waiting in self.model if waiting.seq != seq]

    @rule(after=st.integers(0, 40))
    def look(self, after: int) -> None:
        assert self.pending.next(after) == next((w for w in self.model if w.seq > after), None)

    @invariant()
    def holds_what_the_list_holds(self) -> None:
        assert held(self.pending) == [waiting.seq for waiting in self.model]
        assert (len(self.pending), self.pending.dropped) == (len(self.model), self.dropped)


TestPendingLife = PendingLife.TestCase
