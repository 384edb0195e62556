"""Any order of commands, kills, starts and power cuts: the active model is whole, and so is what one can go back to."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge.bundle import verify_bundle
from edge.errors import EdgeError
from edge.models.activate import Door, activate, rollback
from edge.models.install import install
from edge.models.store import Store
from edge.models.watch import TrialWatch
from tests.edge.bundles import make_bundle
from tests.edge.models.killing import FAILED, killed_at

NAMES = ("a", "b", "c", "d")
STEPS = st.integers(0, 60)


def untested(_bundle: Path) -> str:
    return "tested elsewhere"


@dataclass
class Works:
    """A classifier that judged something."""

    model: str
    reads: int = 1
    latency_ms: float | None = 5.0
    runtime: str = "cpu"


@dataclass
class Nobody:
    decided: int = 0
    uncertain: int = 0


class Lives(RuleBasedStateMachine):
    """A device with four bundles at hand; everything may be killed at every step."""

    @initialize()
    def unpacked(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store(self.folder / "models")
        self.door = Door(self.store, [])
        self.made = {name: make_bundle(self.folder / "made" / name, name=name) for name in NAMES}
        self.boots = 0
        self.now_s = 0.0
        self.daemon: TrialWatch | None = None
        install(self.made["a"], self.store, test=untested)
        self.store.folder.joinpath("active").symlink_to(self.store.tags()[0])

    @rule(name=st.sampled_from(NAMES), step=STEPS, keep=st.integers(1, 4))
    def installs(self, name: str, step: int, keep: int) -> None:
        assert killed_at(step, lambda: install(self.made[name], self.store, keep, untested)) != FAILED

    @rule(data=st.data(), step=STEPS)
    def activates(self, data: st.DataObject, step: int) -> None:
        tag = data.draw(st.sampled_from(self.store.tags()))

        def act() -> None:
            with suppress(EdgeError):  # one may be on trial
                activate(tag, self.door, window_s=600, test=untested)

        assert killed_at(step, act) != FAILED

    @rule(step=STEPS)
    def goes_back(self, step: int) -> None:
        def act() -> None:
            with suppress(EdgeError):
                rollback(self.door, test=untested)

        assert killed_at(step, act) != FAILED

    @rule(is_power_cut=st.booleans())
    def starts(self, is_power_cut: bool) -> None:
        self.boots += is_power_cut
        self.daemon = TrialWatch(self.store, f"boot {self.boots}", lambda: self.now_s)
        self.daemon.start()
        self.daemon.serve(Works(self.store.serving()), Nobody())
        trial = self.store.trial()
        if trial and trial.is_open:  # it was settled: what is on trial is what serves
            assert trial.model == self.store.serving()

    @rule(passed_s=st.sampled_from((1.0, 200.0)), latency_ms=st.sampled_from((5.0, 900.0)))
    def watches(self, passed_s: float, latency_ms: float) -> None:
        if self.daemon is None:
            return
        if self.daemon.is_news():
            self.daemon.before_reload(lambda: None)
            self.daemon.serve(Works(self.store.serving()), Nobody())
            self.daemon.after_reload(None)
        self.now_s += passed_s
        self.daemon.serve(Works(self.store.serving(), reads=20, latency_ms=latency_ms), Nobody())
        self.now_s += passed_s
        if self.daemon.look(has_frames=True):
            self.daemon.serve(Works(self.store.serving()), Nobody())

    @rule()
    def stops(self) -> None:
        if self.daemon:
            self.daemon.stop()
            self.daemon = None

    @invariant()
    def every_name_is_that_of_a_whole_bundle(self) -> None:
        names = {*self.store.tags(), *filter(None, (self.store.active(), self.store.previous()))}
        for tag in names:
            assert verify_bundle(self.store.path(tag))[1] == tag

    @invariant()
    def a_trial_can_be_gone_back_from(self) -> None:
        trial = self.store.trial()
        if trial and trial.is_open and self.store.active():
            assert self.store.path(trial.previous).is_dir() or trial.previous.startswith("mask-mnv2@")

    def teardown(self) -> None:
        shutil.rmtree(getattr(self, "folder", "/nonexistent"), ignore_errors=True)


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=8, stateful_step_count=25, deadline=None)
