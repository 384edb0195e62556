"""Which faces the benchmark of hard bare faces counts."""

from pathlib import Path

import pytest

from benchmarks.hard_faces import main, main_face, untrained
from edge.records import Box, Face
from tests.trainer.drawn import row
from trainer.faces.manifest import write_manifest


def face(x: float, y: float, side: float) -> Face:
    return Face(Box(x, y, side, side), 0.9, ((0.0, 0.0),) * 5)


def test_of_each_frame_only_the_largest_face_that_the_border_does_not_cut_counts() -> None:
    signing, behind, cut, far = face(100, 50, 80), face(10, 10, 40), face(250, 50, 90), face(200, 10, 20)
    assert main_face([behind, cut, signing, far], 320, 240) == signing.box
    assert main_face([cut, far], 320, 240) is None


def test_training_faces_count_only_where_the_model_left_their_source_out() -> None:
    rows = [row(source=source, split=split) for source in "ab" for split in ("train", "held_out")]
    assert [(r.source, r.split) for r in untrained([*rows, row("mask", split="held_out")], "ab", ())] == [
        ("a", "held_out"),
        ("b", "held_out"),
    ]
    assert len(untrained(rows, "ab", ("b",))) == 3
    assert not untrained(rows, "c", ())


@pytest.mark.parametrize("asked", [[], ["--source", "nowhere"]])
def test_a_set_without_one_of_its_sources_is_refused_with_their_names(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_manifest(tmp_path, [row(source="film"), row(source="street", path="b.jpg")])
    with pytest.raises(SystemExit) as caught:
        main(["--data", str(tmp_path), *asked])
    assert caught.value.code == 2
    assert "--data needs a --source of that set: film, street" in capsys.readouterr().err
