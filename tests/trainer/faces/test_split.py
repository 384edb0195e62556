from collections import Counter

from tests.trainer.drawn import row
from trainer.faces.manifest import FaceRow, straddling_groups
from trainer.faces.split import hold_out


def many(count: int = 60) -> list[FaceRow]:
    labels = ("mask", "no_mask", "incorrect")
    return [row(labels[i % 3], group=f"drawn:{i // 2}", sha256=str(i)) for i in range(count)]


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
