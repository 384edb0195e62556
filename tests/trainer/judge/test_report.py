import re
from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.edge.bundles import make_bundle
from tests.trainer.judge.coloured import Face, coloured_set
from tests.trainer.judge.conftest import training
from trainer.__main__ import main
from trainer.commands.report import _material
from trainer.faces.manifest import read_manifest
from trainer.judge.costs import Costs
from trainer.judge.judgement import judge
from trainer.judge.models import open_model
from trainer.judge.page import Material, page
from trainer.learn.runs import read_run, write_run
from trainer.metrics import probabilities


class Page(HTMLParser):
    """What a reader meets: headings, pictures with their words, and every address."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[tuple[str, str]] = []
        self.alts: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._open.append(tag)
        if tag in ("h1", "h2", "h3"):
            self.headings.append((tag, ""))
        if tag == "img":
            self.alts.append(given.get("alt") or "")
        self.addresses += [v for k, v in attrs if k in ("src", "href", "srcset", "action", "data", "poster") and v]
        self.ids += [v for k, v in attrs if k == "id" and v]

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.headings and {"h1", "h2", "h3"} & set(self._open):
            tag, text = self.headings[-1]
            self.headings[-1] = tag, text + data
        if "style" not in self._open:
            self.words.append(data)

    def sections(self) -> list[str]:
        return [text for tag, text in self.headings if tag == "h2"]


@pytest.fixture(scope="module")
def whole(
    run: Path, bundle_of_run: Path, faces: Path, runs_left_out: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The text of a report with all there is."""
    out = tmp_path_factory.mktemp("report") / "report.html"
    command = ["report", str(run), "--data", str(faces), "--bundle", str(bundle_of_run), "--out", str(out)]
    assert main([*command, "--left-out-runs", str(runs_left_out)]) == 0
    return out.read_text()


def test_page_fetches_nothing_and_runs_nothing(whole: str) -> None:
    page = Page(whole)
    assert page.addresses
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert "<script" not in whole
    assert "@import" not in whole
    assert not re.search(r"url\(", whole)


def test_page_has_every_section_under_one_title(whole: str) -> None:
    page = Page(whole)
    assert [tag for tag, _ in page.headings].count("h1") == 1
    assert page.sections() == [
        "In short",
        "Right and wrong",
        "Where it is hard",
        "Sources never seen",
        "Threshold and its cost",
        "Can its probabilities be believed?",
        "How it was trained",
        "Worst mistakes",
        "Gallery",
    ]
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_every_picture_has_words(whole: str) -> None:
    page = Page(whole)
    assert len(page.alts) > 20
    assert all(len(alt) > 10 for alt in page.alts)


def test_headline_says_in_whole_faces_what_is_right(whole: str) -> None:
    text = " ".join("".join(Page(whole).words).split())
    assert "Of 100 masked faces, 83 are told as masked" in text
    assert "4 of 24 were wrong here" in text
    assert "Of 100 bare faces, 92 are told as bare" in text


def test_page_warns_of_faces_of_people_and_of_what_flatters(whole: str) -> None:
    assert "do not pass on" in whole
    assert "The best epoch was chosen on held-out faces" in whole
    assert "Calibration and threshold were set on these faces" in whole


def test_bundle_and_its_float_network_are_read_with_one_calibration(
    run: Path, faces: Path, bundle_of_run: Path
) -> None:
    made = open_model(bundle_of_run)
    given = _material(
        *(run, faces), bundle=bundle_of_run, split="held_out", left_out_runs=None, costs=Costs(), pictures=False
    )
    assert given.beside is not None
    assert given.shown.model.calibration == given.beside.model.calibration == made.calibration
    assert made.calibration.temperature != 1
    assert given.beside.shares == pytest.approx(probabilities(given.beside.logits, made.calibration))


def test_bundle_of_another_run_is_refused(
    run: Path, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_bundle(tmp_path, training=training(run, faces, seed=7))
    command = ["report", str(run), "--data", str(faces), "--bundle", str(other), "--out", str(tmp_path / "r.html")]
    assert main(command) == 65
    assert "was not made of this run on this set (other seed)" in capsys.readouterr().err


def test_other_set_than_that_of_the_run_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = coloured_set(tmp_path / "other", [Face("mask"), Face("no_mask")])
    assert main(["report", str(run), "--data", str(other), "--out", str(tmp_path / "r.html")]) == 65
    assert "is not the set of this run" in capsys.readouterr().err


def test_left_out_table_tells_each_run_and_the_mean(whole: str) -> None:
    assert "mean of 2" in whole
    assert "unfinished is not in the table" in whole


def test_page_without_pictures_shows_nobody(run: Path, faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert main(["report", str(run), "--data", str(faces), "--out", str(out), "--no-pictures"]) == 0
    text = out.read_text()
    assert "image/jpeg" not in text
    assert "do not pass on" not in text
    assert {"Worst mistakes", "Gallery", "Sources never seen"}.isdisjoint(Page(text).sections())


def page_of(folder: Path, bundle: Path, run: Path, faces: Iterable[Face]) -> str:
    """The page of a bundle's judgement on a set that is made for it."""
    data = coloured_set(folder, faces)
    shown = judge(open_model(bundle), data, read_manifest(data), Costs())
    return page(Material(read_run(run), shown, None, None, True))


def test_names_of_a_set_are_shown_as_text(bundle: Path, run: Path, tmp_path: Path) -> None:
    odd = "<b>a&b"
    text = page_of(tmp_path, bundle, run, [Face("mask", source=odd), Face("no_mask", "mask", source=odd)])
    assert "&lt;b&gt;a&amp;b" in text
    assert odd not in text


@pytest.mark.parametrize("only", ["mask", "incorrect"])
def test_set_of_one_class_gives_a_page_that_says_so(only: str, bundle: Path, run: Path, tmp_path: Path) -> None:
    text = page_of(tmp_path, bundle, run, [Face(only)] * 3)
    assert "undefined" in text
    assert "nan" not in re.findall(r"[a-z]+", " ".join(Page(text).words).lower())


def test_weak_slice_is_named_first(bundle: Path, run: Path, tmp_path: Path) -> None:
    good, bad = [Face("mask")] * 60, [Face("mask", "no_mask", source="cellar")] * 10
    text = page_of(tmp_path, bundle, run, [*good, *bad, *[Face("no_mask")] * 60])
    assert "source: cellar" in text.partition("Right and wrong</h2>")[0]


def test_run_without_a_finished_epoch_has_no_curve_and_says_so(bundle: Path, run: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    write_run(begun, replace(read_run(run), figures=(), chosen=None))
    assert "No epoch of this run was finished" in page_of(tmp_path / "faces", bundle, begun, [Face("mask")])


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["{run}", "--out", "{new}/report.html"], 73, "make it first"),
        (["{run}", "--out", "{folder}"], 73, "is a folder"),
        (["{new}", "--out", "{folder}/r.html"], 66, "no run.json"),
        (["{run}", "--out", "{folder}/r.html", "--bundle", "{new}"], 66, "no model at"),
        (["{run}", "--out", "{folder}/r.html", "--left-out-runs", "{folder}"], 65, "no run folder in"),
        (["{run}", "--out", "{folder}/r.html", "--left-out-runs", "{new}"], 66, "no folder"),
        (["{run}", "--out", "{folder}/r.html", "--data", "{new}"], 66, "no manifest.csv"),
        (["{run}", "--out", "{folder}/r.html", "--bundle", "{run}"], 65, "is no bundle"),
        (["{run}", "--out", "{folder}/r.html", "--split", "mine"], 64, "--split"),
        (["{run}"], 64, "--out"),
    ],
)
def test_mistake_is_one_line_and_leaves_no_page(
    options: list[str],
    code: int,
    told: str,
    run: Path,
    faces: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = {"run": run, "new": tmp_path / "new", "folder": tmp_path}
    assert main(["report", "--data", str(faces), *(option.format(**names) for option in options)]) == code
    said = capsys.readouterr().err
    assert told in said
    assert len(said.splitlines()) == 1
    assert not list(tmp_path.rglob("*.html"))
