from collections import Counter

from tests.trainer.drawn import row
from trainer.faces.manifest import FaceRow, straddling_groups
from trainer.faces.split import hold_out, join_near_duplicates, near_pairs


def many(count: int = 60) -> list[FaceRow]:
    labels = ("mask", "no_mask", "incorrect")
    return [row(labels[i % 3], group=f"drawn:{i // 2}", sha256=str(i)) for i in range(count)]


def test_hashes_within_the_limit_are_pairs() -> None:
    assert near_pairs(["00000000000000ff", "00000000000000fe", "0f0f0f0f0f0f0f0f"], max_bits=2) == [(0, 1)]


def test_missing_hashes_match_nothing() -> None:
    assert near_pairs(["", "", "0000000000000000"], max_bits=4) == []


def test_near_duplicates_of_two_groups_become_one_group() -> None:
    rows = [row(group="a", phash="00000000000000ff"), row(group="b", phash="00000000000000fe", sha256="1")]
    joined, crossing = join_near_duplicates(rows, max_bits=2)
    assert {r.group for r in joined} == {"a"}
    assert crossing == 1


def test_one_photo_under_two_names_is_one_group() -> None:
    joined, _ = join_near_duplicates([row(group="a", sha256="x"), row(group="b", sha256="x")], max_bits=2)
    assert len({r.group for r in joined}) == 1


def test_no_group_is_ever_split() -> None:
    assert straddling_groups(hold_out(many(), ["drawn"], share=0.3, seed=5)) == []


def test_every_class_gets_about_its_share() -> None:
    held = Counter(r.label for r in hold_out(many(), ["drawn"], share=0.3, seed=5) if r.split == "held_out")
    assert all(4 <= held[label] <= 8 for label in ("mask", "no_mask", "incorrect"))


def test_same_seed_same_split_and_another_seed_another() -> None:
    first, again, other = (hold_out(many(), ["drawn"], share=0.3, seed=s) for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_sources_that_are_not_named_are_never_held_out() -> None:
    rows = [*many(), row(source="web", group="web:1"), row(source="web", group="drawn:3")]
    split = hold_out(rows, ["drawn"], share=0.9, seed=1)
    assert {r.split for r in split if r.source == "web"} == {"train"}
    assert straddling_groups(split) == []
