"""What tells the class without looking at a mask is found, and what does not is left alone."""

import random
from typing import Any

from tests.trainer.drawn import row
from trainer.faces.leaks import Leak, find_leaks
from trainer.faces.manifest import FaceRow


def rows(count: int = 200, **by_label: Any) -> list[FaceRow]:
    """Half masked, half bare; ``by_label`` gives a column as a function of a random number and whether masked."""
    chance = random.Random(1)
    made = []
    for i in range(count):
        label = "mask" if i % 2 else "no_mask"
        changes = {name: of(chance.random(), label == "mask") for name, of in by_label.items()}
        made.append(row(label, group=f"drawn:{i // 2}", **changes))
    return made


def leak(leaks: list[Leak], how: str) -> Leak:
    return next(one for one in leaks if one.how == how)


def test_picture_size_that_gives_the_class_away_is_warned_of() -> None:
    found = find_leaks(
        rows(photo_width=lambda r, masked: 300 if masked == (r < 0.9) else 1024, photo_height=lambda *_: 9)
    )
    assert 0.85 < (leak(found, "picture size").wears or 0) < 0.95
    assert leak(found, "picture size").is_warned


def test_type_and_alpha_channel_are_looked_at() -> None:
    found = find_leaks(
        rows(
            file_type=lambda r, masked: "png" if masked else "jpeg",
            mode=lambda r, masked: "RGBA" if masked and r < 0.5 else "RGB",
        )
    )
    assert leak(found, "file type").wears == 1.0
    assert 0.7 < (leak(found, "colour mode").wears or 0) < 0.8


def test_chance_is_not_warned_of() -> None:
    found = find_leaks(rows(sharpness=lambda r, _: r, jpeg_quality=lambda r, _: int(100 * r)))
    assert not any(one.is_warned for one in found)
    assert all(0.4 < (one.wears or 0) < 0.6 for one in found)


def test_feature_that_never_differs_has_no_line() -> None:
    assert [one.how for one in find_leaks(rows(sharpness=lambda r, _: r))] == ["sharpness above the mask"]


def test_size_of_single_groups_is_not_learned_by_heart() -> None:
    """Two faces of a person share a size and a label: what was seen of a group must not be asked about it."""
    pairs = [
        row("mask" if i % 4 < 2 else "no_mask", group=f"drawn:{i // 2}", shorter_px=40.0 + i // 2) for i in range(200)
    ]
    assert (leak(find_leaks(pairs), "face size").wears or 0) < 0.6


def test_few_groups_say_nothing() -> None:
    found = find_leaks(rows(10, sharpness=lambda r, masked: float(masked)))
    assert [one.wears for one in found] == [None]
    assert not found[0].is_warned


def test_question_with_few_groups_has_a_wider_margin_than_the_other() -> None:
    """67% may be an accident among twelve people with badly worn masks, though not among 200 with others."""
    common = rows(400, sharpness=lambda *_: 1.0)
    rare = [row("incorrect", group=f"rare:{i % 12}", sharpness=1.0 + (i % 3 == 0)) for i in range(36)]
    found = leak(find_leaks([*common, *rare]), "sharpness above the mask")
    assert 0.6 < (found.badly or 0) < 0.7
    assert not found.is_warned


def test_only_figures_beyond_their_own_margin_are_told() -> None:
    assert Leak("file type", 0.63, 0.7, margins=(0.1, 0.3)).told == 0.63
    assert Leak("file type", 0.55, 0.7, margins=(0.1, 0.3)).told is None


def test_size_as_first_published_is_read_from_the_table() -> None:
    found = find_leaks(rows(published=lambda r, masked: "300x300 png" if masked else "1024x1024 jpg"))
    assert leak(found, "picture size as first published").wears == 1.0
    assert leak(found, "file type as first published").wears == 1.0
