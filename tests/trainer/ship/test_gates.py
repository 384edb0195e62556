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
        (200, 1, 0.995, gates.PASS),
        (20, 0, 0.995, gates.WARN),  # one face of twenty would be 5%: neither none nor one proves anything
        (20, 1, 0.995, gates.WARN),
        (20, 2, 0.995, gates.FAIL),
    ],
)
def test_labels_may_differ_by_the_limit_and_where_faces_are_too_few_by_one(
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


def test_on_a_few_faces_nothing_passes_and_the_limit_told_is_the_one_that_holds() -> None:
    labels = np.array([0] * 4 + [1] * 4)
    real = np.where(labels == 0, 0.9, 0.1)
    own = real.copy()
    own[0] = 0.1
    gate = gates.keeps_balance("int8", own, real, labels, 0.5)
    assert (gate.verdict, gate.found, gate.wanted) == (gates.WARN, "12.50 points", "at most 12.50 points")
    assert gates.TOO_FEW in gate.note
    assert gates.keeps_balance("int8", real, real, labels, 0.5).verdict == gates.WARN
    same = gates.same_labels("same", own, real, 0.5, 0.995)
    assert (same.verdict, same.wanted) == (gates.WARN, "at least 87.50%")
    assert gates.TOO_FEW in same.note


def test_a_better_integer_model_is_no_loss() -> None:
    labels = np.array([0] * 200 + [1] * 200)
    own = np.where(labels == 0, 0.9, 0.1)
    real = own.copy()
    real[0] = 0.1
    gate = gates.keeps_balance("int8", own, real, labels, 0.5)
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
    gate = gates.not_raced(1.5, "the shipped model is not there")
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


@pytest.mark.parametrize(
    ("people", "wrong", "verdict"),
    [
        (20, 0, gates.PASS),
        (20, 18, gates.FAIL),
        (20, 20, gates.FAIL),  # always the same answer
        (4, 0, gates.PASS),
        (4, 4, gates.FAIL),
        (3, 0, gates.WARN),  # not even a model without a mistake is shown to be better
        (1, 0, gates.WARN),  # no interval
    ],
)
def test_a_model_must_be_better_than_guessing_where_that_can_be_told(people: int, wrong: int, verdict: str) -> None:
    labels = np.array([0] * people + [1] * people)
    p_mask = np.where(labels == 0, 0.9, 0.1)
    p_mask[:wrong] = 0.1
    groups = [f"p{i}" for i in range(people)] * 2
    gate = gates.better_than_guessing(p_mask, labels, groups, 0.5)
    assert gate.verdict == verdict
    assert gate.wanted == "more than 50.00%"
    assert (gate.found == "-") == (people == 1)


def test_many_snapshots_of_three_people_show_nothing() -> None:
    labels = np.array([0] * 300 + [1] * 300)
    gate = gates.better_than_guessing(np.where(labels == 0, 0.9, 0.1), labels, ["a", "b", "c"] * 200, 0.5)
    assert gate.verdict == gates.WARN
    assert gate.note.startswith("too few people or scenes to tell")


def test_refusal_names_every_check_that_failed() -> None:
    bad = gates.same_labels("int8: same label as float", *p_masks(1000, 9), 0.5, gates.AS_FLOAT)
    large = gates.small_enough(bytes(9 << 20), 1)
    with pytest.raises(DataError, match=r"float 99.10% \(at least 99.50%\); size 9 MiB \(at most 8 MiB\)"):
        gates.refuse([bad, gates.small_enough(b"", 1), large])


def test_a_model_that_a_runtime_gives_no_answer_for_is_refused() -> None:
    gates.refuse([gates.not_run("labels on a", 0.998, "no environment with it")])
    with pytest.raises(DataError, match=r"labels on b no answer \(at least 99.80%\)"):
        gates.refuse([gates.no_answer("labels on b", 0.998, "the model ended it")])


def test_what_a_program_said_is_for_the_terminal_only() -> None:
    gate = gates.no_answer("labels on b", 0.998, "it failed on the model", "ValueError: cannot open /home/ann/m.tflite")
    assert "/home/ann" not in str(gate.as_json())


def test_what_differs_from_run_to_run_stays_out_of_a_bundle() -> None:
    assert not gates.fast_enough(Race(1.0, 1.0, 1.0, (1.0, 1.0)), 1.5).repeats
    assert gates.small_enough(b"", 1).repeats
