"""The models folder: what goes in, what stays, and that nothing that breaks in leaves it between two states."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edge.__main__ import main
from edge.bundle import verify_bundle
from edge.errors import Busy, DataError, DiskError, InputMissing
from edge.models.activate import Door, NotSeen, activate, rollback
from edge.models.install import install
from edge.models.store import Store, locked
from edge.models.trial import Trial, started
from edge.status import FILE, StatusFile
from tests.edge.bundles import make_bundle
from tests.edge.models.killing import DONE, FAILED, KILLED, killed_at
from tests.edge.test_status import rewrite, status


def untested(_bundle: Path) -> str:
    return "tested elsewhere"


def is_sound(store: Store) -> bool:
    """Every name is that of a whole bundle, and so is what the links point to."""
    names = {*store.tags(), *filter(None, (store.active(), store.previous()))}
    return all(verify_bundle(store.path(tag))[1] == tag for tag in names)


def door(store: Store) -> Door:
    return Door(store, [])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state" / "models")


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: make_bundle(tmp_path / "made" / name, name=name)


def put(store: Store, bundle: Path, **options: Any) -> str:
    return install(bundle, store, test=untested, **options)


# --- install ---


def test_a_bundle_is_installed_under_its_name_and_does_not_take_effect(store: Store, bundle: Any) -> None:
    tag = put(store, bundle("one"))
    assert (store.tags(), store.active(), store.previous()) == ([tag], None, None)
    assert verify_bundle(store.path(tag))[1] == tag


def test_a_second_time_changes_nothing(store: Store, bundle: Any) -> None:
    tag = put(store, bundle("one"))
    before = store.path(tag).stat()
    assert put(store, bundle("one")) == tag
    assert store.path(tag).stat() == before


def test_a_damaged_copy_on_the_card_is_replaced(store: Store, bundle: Any) -> None:
    tag = put(store, bundle("one"))
    (store.path(tag) / "labels.txt").write_text("no_mask\nmask\n")
    assert put(store, bundle("one")) == tag
    assert is_sound(store)


def test_a_bundle_that_fails_leaves_nothing_and_is_named_as_the_user_named_it(store: Store, bundle: Any) -> None:
    def fails(folder: Path) -> str:
        raise DataError(f"bundle {folder}: self-test failed")

    with pytest.raises(DataError, match=f"bundle {bundle('one')}: self-test failed"):
        install(bundle("one"), store, test=fails)
    assert [entry.name for entry in store.folder.iterdir()] == [".lock"]


def test_what_a_killed_install_left_behind_is_no_bundle_and_goes_with_the_next(store: Store, bundle: Any) -> None:
    put(store, bundle("one"))
    shutil.copytree(store.path(store.tags()[0]), store.folder / ".install.new")
    shutil.copytree(store.path(store.tags()[0]), store.folder / ".one@0123456789ab.new")
    assert len(store.tags()) == 1
    put(store, bundle("two"))
    assert len(store.tags()) == 2
    assert [entry.name for entry in store.folder.iterdir() if entry.name.endswith(".new")] == []


def test_without_room_nothing_is_copied_and_the_message_says_how_much_is_needed(
    store: Store, bundle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Usage(16 << 20))
    with pytest.raises(DiskError, match=r"has 16.0 MiB free; 0.0 are needed, and 16.0 stay free for events: make room"):
        put(store, bundle("one"))
    assert store.tags() == []


# --- how many stay ---


def test_the_latest_five_stay_and_what_is_in_use_never_goes(store: Store, bundle: Any) -> None:
    tags = [put(store, bundle(f"b{n}")) for n in range(3)]
    for tag in (tags[0], tags[1]):
        activate(tag, door(store), window_s=0, test=untested)
        store.save(replace(trial(store), state="kept"), store.stamp())
    assert (store.active(), store.previous()) == (tags[1], tags[0])
    later = [put(store, bundle(f"c{n}")) for n in range(6)]
    assert set(store.tags()) == {tags[0], tags[1], *later[-3:]}


def test_a_clock_that_was_a_year_ahead_does_not_make_the_next_one_the_oldest(
    store: Store, bundle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    year_ns = 365 * 86_400 * 10**9
    ahead = [time.time_ns() + year_ns]
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: ahead[0])
        early = [put(store, bundle(f"b{n}"), keep=2) for n in range(2)]
    late = [put(store, bundle(f"c{n}"), keep=2) for n in range(2)]
    assert store.tags() == list(reversed(late))
    assert early[0] not in store.tags()


def trial(store: Store) -> Trial:
    found = store.trial()
    assert found is not None
    return found


# --- two at once ---


@pytest.mark.parametrize("act", ["install", "activate", "rollback"])
def test_of_two_at_once_the_second_says_so(store: Store, bundle: Any, act: str) -> None:
    tag = put(store, bundle("one"))
    acts: dict[str, Callable[[], Any]] = {
        "install": lambda: put(store, bundle("two")),
        "activate": lambda: activate(tag, door(store), test=untested),
        "rollback": lambda: rollback(door(store), test=untested),
    }
    with store.changing(), pytest.raises(Busy, match="another 'edge model' command") as caught:
        acts[act]()
    assert caught.value.exit_code == 75


def test_a_lock_is_free_as_soon_as_its_holder_is_killed(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        with locked(lock, 0.0):
            os.write(writer, b"x")
            threading.Event().wait()
    os.read(reader, 1)
    with locked(lock, 0.0) as is_ours:
        assert not is_ours
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    with locked(lock, 0.0) as is_ours:
        assert is_ours


def test_another_model_waits_until_the_trial_of_one_is_over(store: Store, bundle: Any) -> None:
    one, two = put(store, bundle("one")), put(store, bundle("two"))
    activate(one, door(store), test=untested)
    with pytest.raises(Busy, match=f"{one} is on trial for 600 s more"):
        activate(two, door(store), test=untested)
    assert activate(one, door(store), test=untested).state == "next_start"  # asked again, it goes on


# --- there and back ---


def test_without_a_daemon_it_takes_effect_at_the_next_start_and_that_is_said(store: Store, bundle: Any) -> None:
    tag = put(store, bundle("one"))
    outcome = activate(tag, door(store), test=untested)
    assert (outcome.state, outcome.note) == (
        "next_start",
        "no daemon tells its status here: it takes effect at the next start",
    )
    assert store.active() == tag


def test_a_daemon_that_hangs_is_not_taken_for_none(store: Store, bundle: Any, tmp_path: Path) -> None:
    """Its watchdog may take it to the new model, or back; that is not known yet, and not said to be well."""
    StatusFile(tmp_path / "run").write(status(models=str(store.folder)))
    rewrite(tmp_path / "run", at_mono_s=-1000.0)
    tag, seconds = put(store, bundle("one")), itertools.count(0.0, 10.0)
    hanging = Door(store, [tmp_path / "run" / FILE], sleep=lambda _s: None, clock=lambda: next(seconds))
    with pytest.raises(NotSeen, match="was not seen at work within"):
        activate(tag, hanging, test=untested)


def test_the_way_back_is_open_while_somebody_edits_the_configuration(
    store: Store, bundle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    first, second = (put(store, bundle(name)) for name in ("one", "two"))
    for tag in (first, second):
        activate(tag, door(store), window_s=0, test=untested)
        store.save(replace(trial(store), state="kept"), store.stamp())
    (tmp_path / "config.toml").write_text("[camera\n")
    assert main(["model", "verify", second]) == 0
    assert main(["model", "activate", second, "--config", str(tmp_path / "config.toml")]) == 78
    assert main(["model", "rollback", "--config", str(tmp_path / "config.toml")]) == 0
    assert "edge: note: config file" in capsys.readouterr().err
    assert store.active() == first


def test_back_from_a_link_that_leads_nowhere_is_no_trial_that_blocks_the_next(store: Store, bundle: Any) -> None:
    tag = install(bundle("one"), store, test=untested)
    (store.folder / "active").symlink_to("nowhere")
    rollback(door(store), test=untested)
    trial = store.trial()
    assert trial is not None
    assert not trial.is_open
    assert activate(tag, door(store), test=untested).model == tag


def test_back_from_the_first_is_the_model_that_came_with_this_version(store: Store, bundle: Any) -> None:
    shipped = store.serving()
    tag = put(store, bundle("one"))
    activate(tag, door(store), test=untested)
    assert rollback(door(store), test=untested).model == shipped
    assert (store.active(), store.previous(), trial(store).state) == (None, None, "rolled_back")
    with pytest.raises(InputMissing, match="there is no other to go back to"):
        rollback(door(store), test=untested)


def test_a_model_that_is_not_installed_is_66_and_tells_which_are(store: Store, bundle: Any) -> None:
    tag = put(store, bundle("one"))
    for name in ("one", "one@0123456789ab", "..", "/etc"):
        with pytest.raises(InputMissing, match=f"is not installed: install it first, or name one that is \\({tag}"):
            activate(name, door(store), test=untested)


def test_a_link_that_somebody_set_by_hand_stays(store: Store, bundle: Any) -> None:
    one, two = put(store, bundle("one")), put(store, bundle("two"))
    activate(one, door(store), test=untested)
    store.active_link.unlink()
    store.active_link.symlink_to(two)
    settled = store.settle()
    assert settled is not None
    assert (settled.state, store.active()) == ("rolled_back", two)


def test_a_record_of_garbage_counts_as_none(store: Store, bundle: Any) -> None:
    put(store, bundle("one"))
    for text in ("", "{", "[]", '{"v":2}', json.dumps({"v": 1, "state": "on_trial"})):
        store.trial_file.write_text(text)
        assert store.settle() is None


# --- killed at every step ---


class World(NamedTuple):
    """A store with two models, the second on trial or kept; and how to have it again."""

    store: Store
    kept: Path

    def again(self) -> None:
        shutil.rmtree(self.store.folder)
        shutil.copytree(self.kept, self.store.folder, symlinks=True)


@pytest.fixture
def world(tmp_path: Path, store: Store, bundle: Any) -> World:
    for name in ("one", "two"):
        activate(put(store, bundle(name)), door(store), test=untested)
        store.save(replace(trial(store), state="kept"), store.stamp())
    put(store, bundle("three"))
    shutil.copytree(store.folder, tmp_path / "kept", symlinks=True)
    return World(store, tmp_path / "kept")


def tag_named(store: Store, name: str) -> str:
    return next(tag for tag in store.tags() if tag.startswith(f"{name}@"))


def acts_on(store: Store, made: Callable[[str], Path], act: str) -> Callable[[], Any]:
    def give_up() -> None:
        activate(tag_named(store, "three"), door(store), test=untested)
        store.go_back(tag_named(store, "three"), "it stalls")

    made("four")
    acts: dict[str, Callable[[], Any]] = {
        "install": lambda: put(store, made("four")),
        "install and prune": lambda: put(store, made("four"), keep=2),
        "activate": lambda: activate(tag_named(store, "three"), door(store), test=untested),
        "rollback": lambda: rollback(door(store), test=untested),
        "give up": give_up,
    }
    return acts[act]


SLOWLY = [pytest.param(act, marks=pytest.mark.slow) for act in ("install and prune", "give up")]


@pytest.mark.parametrize("act", ["install", "activate", "rollback", *SLOWLY])
def test_killed_at_any_step_the_active_model_is_whole_and_the_next_attempt_works(
    world: World, bundle: Any, act: str
) -> None:
    store, before = world.store, (world.store.active(), world.store.previous())
    do = acts_on(store, bundle, act)
    step, ends = 0, []
    while (end := killed_at(step, do)) == KILLED:
        assert store.active(), step
        assert is_sound(store), step
        settled = store.settle()
        assert is_sound(store), step
        if settled is None or not settled.is_open:  # nothing under way: the links are as before, or as wanted
            assert (store.active(), store.previous()) in (before, (before[1], before[0])), step
        assert killed_at(10_000, do) == DONE, step
        assert is_sound(store), step
        ends.append((store.active(), store.previous()))
        world.again()
        step += 1
    assert end == DONE
    assert step > 10
    assert len(set(ends)) <= 2


def test_a_full_disk_in_the_middle_of_a_switch_leaves_the_old_model(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    before = world.store.active()
    with monkeypatch.context() as patch:
        patch.setattr("edge.durable.os.write", full)
        with pytest.raises(OSError, match="No space left"):
            activate(tag_named(world.store, "three"), door(world.store), test=untested)
    assert world.store.active() == before
    assert is_sound(world.store)


def test_a_full_disk_does_not_keep_a_bad_model_in_force(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    store, before = world.store, world.store.active()
    tag = tag_named(store, "three")
    activate(tag, door(store), test=untested)
    with monkeypatch.context() as patch:
        patch.setattr("edge.durable.os.write", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        store.go_back(tag, "it stalls")
    assert store.active() == before
    settled = store.settle()
    assert settled is not None
    assert settled.state == "rolled_back"


def test_a_child_that_fails_is_not_taken_for_one_that_was_killed() -> None:
    assert killed_at(5, lambda: 1 / 0) == FAILED


# --- starts under trial ---

FRESH = Trial("new@0123456789ab", "old@0123456789ab", None)


def test_a_power_cut_is_no_failed_start_however_often() -> None:
    now: Trial = FRESH
    for boot in "abcdefgh":
        now, why = started(now, boot)
        assert (now.restarts, why) == (0, None)


def test_a_death_before_it_was_at_work_is_one_too_many() -> None:
    now, _ = started(FRESH, "a")
    assert started(now, "a")[1] == "the daemon died or hung while it took the model up"


def test_once_at_work_one_death_is_forgiven() -> None:
    now, _ = started(FRESH, "a")
    now, why = started(replace(now, is_at_work=True), "a")
    assert (now.restarts, why) == (1, None)
    assert started(now, "a")[1] == "the daemon died or hung 2 times within the trial"


def test_a_restart_in_good_order_tells_nothing() -> None:
    now, _ = started(FRESH, "a")
    assert started(replace(now, boot=""), "a") == (now, None)


def test_where_the_kernel_names_no_boot_nothing_is_counted() -> None:
    now, _ = started(FRESH, "")
    assert started(now, "") == (now, None)
