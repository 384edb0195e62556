"""``deploy/push`` without a door: the order of doors, what stops it, and the bundle as it travels."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.doors.inventory import Door
from deploy.doors.parcel import parcel, sign
from deploy.doors.push import Pushed, is_here, main, rolled_out, waves
from deploy.doors.ssh import Target
from edge.bundle import SIGNATURE, load_bundle
from edge.errors import InputMissing, Refused, UsageError
from edge.models.signing import NAMESPACE
from edge.models.unpack import unpack
from edge.places import PACKAGE
from tests.edge.bundles import make_bundle

SHIPPED = PACKAGE.parent / "models" / "mask-mnv2"
needs_ssh_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen (openssh-client)")


def some(count: int) -> list[Door]:
    return [Door(Target(f"gate-{number}", f"gate-{number}"), {}, Path()) for number in range(count)]


def names(order: list[list[Door]]) -> list[list[str]]:
    return [[door.target.name for door in wave] for wave in order]


# --- waves ---


@given(st.integers(1, 30), st.integers(1, 30), st.data())
def test_every_door_gets_it_once_and_the_canary_before_all_others(count: int, size: int, data: st.DataObject) -> None:
    doors = some(count)
    canary = data.draw(st.sampled_from([None, *(door.target.name for door in doors)]))
    order = names(list(waves(doors, canary, size)))
    assert order[0] == [canary or "gate-0"]
    assert sorted(name for wave in order for name in wave) == sorted(door.target.name for door in doors)
    assert all(len(wave) <= size for wave in order[1:])


def test_without_a_size_all_that_are_left_are_one_wave() -> None:
    assert [len(wave) for wave in waves(some(20), None, None)] == [1, 19]


def test_a_canary_that_is_no_door_is_refused() -> None:
    with pytest.raises(UsageError, match="gate-9 is none of the doors: name one of gate-0, gate-1"):
        list(waves(some(2), "gate-9", None))


@given(st.integers(1, 12), st.integers(1, 5), st.sets(st.integers(0, 11)))
def test_after_a_wave_in_which_a_door_failed_no_other_is_begun(count: int, size: int, broken: set[int]) -> None:
    order = list(waves(some(count), None, size))
    tried = set[str]()

    def at(door: Door) -> Pushed:
        name = door.target.name
        tried.add(name)
        is_broken = int(name.removeprefix("gate-")) in broken
        return Pushed(name, "failed", "broken", 65) if is_broken else Pushed(name, "at work")

    results = rolled_out(order, at, parallel=3)
    begun = 0
    for wave in names(order):
        begun += 1
        if any(int(name.removeprefix("gate-")) in broken for name in wave):
            break
    assert tried == {name for wave in names(order)[:begun] for name in wave}
    assert {one.door for one in results if one.state == "not tried"} == {
        name for wave in names(order)[begun:] for name in wave
    }
    assert [one.door for one in results] == [name for wave in names(order) for name in wave]


# --- the bundle as it travels ---


def test_what_travels_is_the_bundle_and_the_same_each_time(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "tiny")
    sent = parcel(bundle)
    (tmp_path / "there").mkdir()
    unpack(io.BytesIO(sent.stream), tmp_path / "there", lambda size: None)
    assert load_bundle(tmp_path / "there").tag == sent.tag == load_bundle(bundle).tag
    assert parcel(bundle) == sent
    assert not sent.is_signed


@needs_ssh_keygen
def test_a_signature_travels_with_it_and_is_by_the_key(tmp_path: Path) -> None:
    bundle, key = make_bundle(tmp_path / "tiny"), tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    sign(bundle, key)
    sent = parcel(bundle)
    assert sent.is_signed
    allowed = tmp_path / "allowed"
    allowed.write_text(f'site namespaces="{NAMESPACE}" {key.with_suffix(".pub").read_text()}')
    argv = ["ssh-keygen", "-Y", "verify", "-f", str(allowed), "-I", "site", "-n", NAMESPACE]
    done = subprocess.run(
        [*argv, "-s", str(bundle / SIGNATURE)], input=(bundle / "bundle.json").read_bytes(), check=False
    )
    assert done.returncode == 0
    assert key.read_bytes() not in sent.stream


@needs_ssh_keygen
def test_a_key_that_does_not_sign_leaves_no_signature(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "tiny")
    (tmp_path / "no-key").write_text("x")
    with pytest.raises(Refused, match="does not sign"):
        sign(bundle, tmp_path / "no-key")
    with pytest.raises(InputMissing, match="no key at"):
        sign(bundle, tmp_path / "nowhere")
    assert not (bundle / SIGNATURE).exists()


def test_a_bundle_that_is_not_in_order_goes_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = make_bundle(tmp_path / "tiny")
    (bundle / "model.tflite").write_bytes(b"half a mod")
    assert main([str(bundle), "door.invalid"]) == 65
    assert "model.tflite" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--trial", "1441"], ["--trial", "soon"], ["--wait", "4"], ["--wait", "601"]])
def test_what_no_door_would_take_is_refused_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main([str(make_bundle(tmp_path / "tiny")), "door.invalid", *words]) == 64
    assert f"argument {words[0]}" in capsys.readouterr().err


def test_a_push_whose_words_nobody_reads_fails_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("deploy.doors.push.PAUSE_S", 0.0)
    ours, theirs = os.pipe()
    os.close(ours)
    unread = io.TextIOWrapper(io.FileIO(theirs, "w"), write_through=True)
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", unread)
        code = main([str(make_bundle(tmp_path / "tiny")), "door.invalid"])
    with suppress(BrokenPipeError):
        unread.close()
    assert code == 69
    assert "door.invalid  failed" in capsys.readouterr().out


# --- what a door has already ---


@pytest.mark.parametrize(
    ("there", "is_signed", "expected"),
    [
        ({"is_usable": True, "signature": "unsigned", "state": ""}, False, True),
        ({"is_usable": True, "signature": "good", "state": "active"}, True, True),
        ({"is_usable": True, "signature": "unsigned", "state": ""}, True, False),
        ({"is_usable": True, "signature": "refused", "state": ""}, True, False),
        ({"is_usable": False, "signature": "unchecked", "state": "active"}, False, False),
        ({"is_usable": True, "signature": "unchecked", "state": "shipped, active"}, False, False),
    ],
)
def test_only_what_a_door_lacks_is_sent(
    tmp_path: Path, there: dict[str, object], is_signed: bool, expected: bool
) -> None:
    sent = parcel(make_bundle(tmp_path / "tiny"))
    listing = json.loads(json.dumps({"models": [{"model": sent.tag, **there}]}))
    assert is_here(listing, type(sent)(sent.tag, sent.stream, is_signed)) is expected
