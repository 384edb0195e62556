import numpy as np
import pytest

from edge.errors import DataError
from trainer.ship import gates
from trainer.ship.edgetpu import MAPPED, Compiled
from trainer.ship.latency import Race


def p_masks(n: int, differing: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.full(n, 0.9)
    second = first.copy()
    second[:differing] = 0.1
    return first, second


@pytest.mark.parametrize(
    ("n", "differing", "at_least", "verdict"),
    [
        (1000, 5, 0.995, gates.PASS),
        (1000, 6, 0.995, gates.FAIL),
        (1000, 2, 0.998, gates.PASS),
        (1000, 3, 0.998, gates.FAIL),
        (20, 1, 0.995, gates.PASS),  # one face of twenty is 5%, but one face proves nothing
        (20, 2, 0.995, gates.FAIL),
    ],
)
def test_labels_may_differ_by_the_limit_and_always_by_one_face(
    n: int, differing: int, at_least: float, verdict: str
) -> None:
    gate = gates.same_labels("same", *p_masks(n, differing), 0.5, at_least)
    assert gate.verdict == verdict
    assert gate.value == pytest.approx(1 - differing / n)


@pytest.mark.parametrize(("wrong", "verdict"), [(0, gates.PASS), (2, gates.PASS), (4, gates.FAIL)])
def test_balanced_accuracy_may_fall_by_three_tenths_of_a_point(wrong: int, verdict: str) -> None:
    labels = np.array([0] * 500 + [1] * 500)
    real = np.where(labels == 0, 0.9, 0.1)
    own = real.copy()
    own[:wrong] = 0.1  # masked faces lost: 0.1 points each
    assert gates.keeps_balance("int8", own, real, labels, 0.5).verdict == verdict


def test_a_better_integer_model_is_no_loss() -> None:
    labels = np.array([0, 0, 1, 1])
    gate = gates.keeps_balance("int8", np.array([0.9, 0.9, 0.1, 0.1]), np.array([0.1, 0.9, 0.1, 0.1]), labels, 0.5)
    assert (gate.verdict, gate.note) == (gates.PASS, "better than float")


@pytest.mark.parametrize(
    ("ratio", "quartiles", "verdict"),
    [
        (1.2, (1.1, 1.3), gates.PASS),
        (1.6, (1.4, 3.0), gates.WARN),  # a busy machine
        (2.9, (2.7, 3.1), gates.FAIL),
    ],
)
def test_only_a_latency_that_is_sure_refuses(ratio: float, quartiles: tuple[float, float], verdict: str) -> None:
    assert gates.fast_enough(Race(3.0, 1.0, ratio, quartiles), 1.5).verdict == verdict


def test_nothing_to_race_with_is_said_and_not_held_against_a_model() -> None:
    gate = gates.fast_enough(None, 1.5)
    assert (gate.verdict, gate.found) == (gates.NOT_RUN, "-")
    gates.refuse([gate])


@pytest.mark.parametrize(("status", "verdict"), [(MAPPED, gates.PASS), ("Operation version not supported", gates.WARN)])
def test_operators_left_to_the_cpu_are_named(status: str, verdict: str) -> None:
    made = Compiled(b"", "edgetpu_compiler 16.0", (("CONV_2D", 35, MAPPED), ("QUANTIZE", 2, status)))
    gate = gates.edgetpu_compiled(made)
    assert gate.verdict == verdict
    assert ("QUANTIZE" in gate.note) == (verdict == gates.WARN)


def test_nothing_mapped_is_no_edge_tpu_model() -> None:
    made = Compiled(b"", "edgetpu_compiler 16.0", (("CONV_2D", 35, "Operation version not supported"),))
    assert gates.edgetpu_compiled(made).verdict == gates.FAIL


def test_refusal_names_every_check_that_failed() -> None:
    bad = gates.same_labels("int8: same label as float", *p_masks(1000, 9), 0.5, gates.AS_FLOAT)
    large = gates.small_enough(bytes(9 << 20), 1)
    with pytest.raises(DataError, match=r"float 99.10% \(at least 99.50%\); size 9 MiB \(at most 8 MiB\)"):
        gates.refuse([bad, gates.small_enough(b"", 1), large])


def test_what_differs_from_run_to_run_stays_out_of_a_bundle() -> None:
    assert not gates.fast_enough(Race(1.0, 1.0, 1.0, (1.0, 1.0)), 1.5).repeats
    assert gates.small_enough(b"", 1).repeats
