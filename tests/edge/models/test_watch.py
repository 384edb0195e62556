"""The daemon's side of a trial, with time and models of the test's own: the band, the window, what is written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edge.models.activate import Door, rollback
from edge.models.install import install
from edge.models.store import Store
from edge.models.trial import Doings, Trial, out_of_band
from edge.models.watch import AGAIN_S, SAVE_S, TrialWatch
from tests.edge.bundles import make_bundle


@dataclass
class Works:
    model: str
    reads: int = 0
    latency_ms: float | None = None
    runtime: str = "cpu"


@dataclass
class Persons:
    decided: int = 0
    uncertain: int = 0


class Daemon:
    """A store with an old model active and a new one installed, and a daemon that serves the old one."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "models")
        self.old, self.new = (
            install(make_bundle(folder / name, name=name), self.store, test=lambda _bundle: "")
            for name in ("old", "new")
        )
        (self.store.folder / "active").symlink_to(self.old)
        self.now_s = 0.0
        self.persons = Persons()
        self.start("boot a")
        self.serves.reads, self.serves.latency_ms = 40, 20.0

    def start(self, boot: str) -> None:
        self.watch = TrialWatch(self.store, boot, lambda: self.now_s)
        self.watch.start()
        self.reloaded()

    def reloaded(self) -> None:
        self.serves = Works(self.store.serving())
        self.watch.serve(self.serves, self.persons)

    def activate(self, window_s: float = 600.0) -> None:
        self.store.begin(Trial(self.new, self.old, None, window_s=window_s))
        assert self.watch.is_news()
        self.watch.before_reload(lambda: None)
        self.reloaded()
        self.watch.after_reload(None)

    def work(self, seconds: float, has_frames: bool = True) -> bool:
        self.now_s += seconds
        return self.watch.look(has_frames)

    def at_work(self) -> None:
        self.activate()
        self.serves.reads, self.serves.latency_ms = 10, 22.0
        assert not self.work(1)

    @property
    def trial(self) -> Trial:
        found = self.store.trial()
        assert found is not None
        return found


@pytest.fixture
def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path)


def test_a_model_is_at_work_when_it_judged_a_frame_and_not_before(daemon: Daemon) -> None:
    daemon.activate()
    daemon.work(1)
    assert not daemon.trial.is_at_work
    daemon.serves.reads = 1
    daemon.work(1)
    assert daemon.trial.is_at_work


def test_a_model_before_which_no_frame_comes_is_given_up_in_time(daemon: Daemon) -> None:
    daemon.activate()
    assert [daemon.work(50, has_frames=False) for _ in range(3)] == [False, False, True]
    assert daemon.trial.why == "it was not at work within 120 s: it judged nothing"
    assert daemon.store.active() == daemon.old


def test_it_is_kept_when_its_time_is_over_and_the_record_says_how_it_did(daemon: Daemon) -> None:
    daemon.at_work()
    for _ in range(20):
        daemon.persons.decided += 1
        daemon.work(30)
    assert (daemon.trial.state, daemon.store.active(), daemon.store.previous()) == ("kept", daemon.new, daemon.old)
    assert daemon.trial.why == (
        "10 minutes at work, 0 restarts, 10 faces judged, 22 ms a face; 0 of 20 persons uncertain"
    )


def test_time_without_a_camera_is_no_time_on_trial(daemon: Daemon) -> None:
    daemon.at_work()
    daemon.work(10_000, has_frames=False)
    assert (daemon.trial.state, daemon.trial.left_s) == ("on_trial", 600.0)


def test_without_a_trial_it_is_kept_as_soon_as_it_is_at_work(daemon: Daemon) -> None:
    daemon.activate(window_s=0)
    assert daemon.trial.is_open
    daemon.serves.reads = 1
    daemon.work(1)
    assert daemon.trial.state == "kept"


def test_a_model_that_takes_far_longer_than_the_one_before_is_given_up(daemon: Daemon) -> None:
    daemon.at_work()
    daemon.serves.latency_ms = 71.0
    assert daemon.work(1)
    assert daemon.trial.why == "it takes 71 ms a face, the model before took 20 ms; the limit is 70 ms"
    assert daemon.store.active() == daemon.old


def test_a_model_that_leaves_people_uncertain_is_given_up(daemon: Daemon) -> None:
    daemon.persons = Persons(100, 10)  # as the old one had them, since the daemon began
    daemon.reloaded()
    daemon.persons.decided, daemon.persons.uncertain = 200, 20
    daemon.serves.reads, daemon.serves.latency_ms = 40, 20.0
    daemon.at_work()
    daemon.persons.decided, daemon.persons.uncertain = 219, 27
    assert not daemon.work(1)  # 7 of 19 are too few to judge by
    daemon.persons.decided, daemon.persons.uncertain = 221, 27
    assert daemon.work(1)
    assert daemon.trial.why == "7 of 21 persons remained uncertain, the model before had 10%; the limit is 30%"


BAND: list[tuple[Doings, Doings, bool]] = [
    (Doings(40, 20.0), Doings(40, 70.0), True),
    (Doings(40, 100.0), Doings(40, 199.0), True),
    (Doings(40, 100.0), Doings(40, 201.0), False),
    (Doings(40, 20.0), Doings(9, 900.0), True),  # too few faces to judge by
    (Doings(), Doings(40, 500.0), True),  # nobody knows what the one before took
    (Doings(), Doings(40, 501.0), False),
    (Doings(40, 20.0, 5, 0), Doings(40, 20.0, 40, 20), True),  # nobody knows how the one before decided
    (Doings(40, 20.0, 5, 0), Doings(40, 20.0, 40, 21), False),
]


@pytest.mark.parametrize(("before", "now", "is_in"), BAND)
def test_the_band(before: Doings, now: Doings, is_in: bool) -> None:
    assert (out_of_band(before, now) is None) == is_in


def test_a_reload_that_is_refused_ends_the_trial(daemon: Daemon) -> None:
    daemon.store.begin(Trial(daemon.new, daemon.old, None))
    daemon.watch.is_news()
    daemon.watch.before_reload(lambda: None)
    daemon.watch.after_reload("bundle x: model.tflite was altered")
    assert (daemon.trial.state, daemon.trial.why) == ("rolled_back", "bundle x: model.tflite was altered")
    assert daemon.store.active() == daemon.old
    assert not daemon.watch.is_news()


def test_what_the_old_model_did_is_known_after_a_restart(daemon: Daemon) -> None:
    daemon.at_work()
    daemon.start("boot a")
    daemon.serves.reads, daemon.serves.latency_ms = 40, 71.0
    assert daemon.work(1)
    assert "the model before took 20 ms" in daemon.trial.why


def test_a_trial_goes_on_over_power_cuts_where_it_was(daemon: Daemon) -> None:
    daemon.at_work()
    for boot in "bcdef":
        daemon.work(SAVE_S)
        daemon.work(SAVE_S)
        daemon.start(boot)
        daemon.serves.reads = 1
    assert (daemon.trial.state, daemon.trial.restarts) == ("on_trial", 0)
    assert daemon.trial.spent_s >= 5 * SAVE_S


def test_what_a_command_wrote_meanwhile_is_not_overwritten(daemon: Daemon) -> None:
    daemon.at_work()
    daemon.store.go_back(daemon.new, "by hand")
    daemon.work(SAVE_S)
    assert daemon.trial.why == "by hand"
    assert daemon.watch.is_news()


def test_a_model_that_cannot_be_loaded_at_the_start_is_given_up_on_the_spot(daemon: Daemon) -> None:
    daemon.activate()
    daemon.start("boot b")
    assert daemon.watch.fails("op not found")
    assert (daemon.store.active(), daemon.trial.why) == (daemon.old, "op not found")
    assert not daemon.watch.fails("again")


def test_a_model_gone_back_to_that_cannot_be_loaded_is_tried_again_until_it_serves(daemon: Daemon) -> None:
    daemon.at_work()
    daemon.persons.decided, daemon.persons.uncertain = 40, 30
    assert daemon.work(1)  # given up
    daemon.watch.before_reload(lambda: None)
    daemon.watch.after_reload("no memory")  # the given-up one judges on
    assert not daemon.watch.is_to_try_again()
    daemon.now_s += 2 * AGAIN_S[0]
    assert daemon.watch.is_to_try_again()
    daemon.watch.after_reload("no memory")
    assert not daemon.watch.is_to_try_again()
    daemon.now_s += AGAIN_S[1]
    assert daemon.watch.is_to_try_again()
    daemon.reloaded()
    daemon.watch.after_reload(None)
    daemon.now_s += AGAIN_S[1]
    assert not daemon.watch.is_to_try_again()


def test_a_refused_reload_of_the_model_that_serves_is_not_tried_again_by_itself(daemon: Daemon) -> None:
    """Somebody's mistake in the configuration, which only they can mend."""
    daemon.watch.after_reload("config.toml is not TOML")
    daemon.now_s += AGAIN_S[1]
    assert not daemon.watch.is_to_try_again()


def test_a_disk_that_takes_nothing_stops_no_daemon(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_fd: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    daemon.at_work()
    monkeypatch.setattr("edge.durable.os.write", full)
    daemon.work(SAVE_S)
    daemon.watch.stop()
    assert "its record cannot be written" in caplog.text


def test_a_look_is_wanted_only_of_a_model_on_trial_and_not_all_the_time(daemon: Daemon) -> None:
    assert not daemon.watch.wants_a_look()
    daemon.at_work()

    def wanted(at_s: float) -> bool:
        daemon.now_s = at_s
        return daemon.watch.wants_a_look()

    looks: list[Callable[[], bool]] = [lambda at_s=at_s: wanted(at_s) for at_s in (10.0, 10.1, 11.9, 12.0)]  # type: ignore[misc]
    assert [look() for look in looks] == [True, False, False, True]


def test_a_record_of_a_trial_is_what_was_written(daemon: Daemon) -> None:
    told = replace(Trial(daemon.new, daemon.old, "older@0123456789ab"), before=Doings(3, 1.5, 20, 2), why="ä\n")
    daemon.store.save(told, daemon.store.stamp())
    assert daemon.trial == told


def test_a_rollback_by_hand_is_not_undone_while_the_camera_is_away(daemon: Daemon) -> None:
    """It has served before: there is no trial, and nothing to give up."""
    daemon.at_work()
    daemon.work(700)
    assert daemon.trial.state == "kept"
    rollback(Door(daemon.store, []), test=lambda _bundle: "")
    assert daemon.watch.is_news()
    daemon.reloaded()
    assert daemon.serves.model == daemon.old
    assert not daemon.work(500, has_frames=False)
    daemon.start("boot a")
    daemon.start("boot a")
    assert (daemon.store.serving(), daemon.trial.state) == (daemon.old, "kept")


def test_an_accelerator_that_went_away_is_no_fault_of_the_model(daemon: Daemon) -> None:
    """The one before was measured on it; 500 ms are what nobody may take."""
    daemon.serves.runtime, daemon.serves.latency_ms = "tpu", 4.0
    daemon.at_work()
    daemon.serves.reads, daemon.serves.latency_ms = 40, 300.0
    assert not daemon.work(1)
    daemon.serves.latency_ms = 501.0
    assert daemon.work(1)
    assert daemon.trial.why == "it takes 501 ms a face; the limit is 500 ms"


def test_a_model_that_runs_elsewhere_now_goes_on_being_counted(daemon: Daemon) -> None:
    daemon.at_work()
    daemon.persons.decided, daemon.persons.uncertain = 25, 25
    daemon.watch.serve(daemon.serves, daemon.persons)
    assert daemon.work(1)
    assert "25 of 25 persons remained uncertain" in daemon.trial.why
