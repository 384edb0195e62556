"""Make a model the active one, or go back: switch, then see the daemon have it at work.

The command only switches and looks on. The daemon finds the switch by itself, owns the trial, and goes back by itself,
whether the command still runs or not (edge/models/watch.py).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from edge.bundle import load_bundle
from edge.errors import Busy, ConfigError, DataError, EdgeError, InputMissing, Unavailable
from edge.models.install import Tester, verify
from edge.models.selftest import self_test
from edge.models.store import TAG, Store, shipped, tag_of
from edge.models.trial import WAIT_S, WINDOW_S, Trial, standing
from edge.status import Hangs, read_status

LOOK_S: Final = 0.2
GRACE_S: Final = 15.0  # for the daemon to say that it went back
BY_HAND: Final = "by hand, with 'edge model rollback'"


class GivenUp(DataError):
    """The device went back to the model before, and says why."""


class NotSeen(Unavailable):
    """The switch is made, and the daemon has not said how it went."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """state: ``at_work``, seen in the daemon's status; ``next_start``, where no daemon runs.

    model: tag of what serves or will serve. trial: as the daemon or the record tells it, None where there was none.
    note: what else is to be said.
    """

    model: str
    state: Literal["at_work", "next_start"]
    trial: dict[str, Any] | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Door:
    """The daemon of this machine, as its status file tells. statuses: where that may be.

    site_bundle: ``classifier.bundle`` of the configuration, empty where the site names none.
    """

    store: Store
    statuses: list[Path]
    site_bundle: str = ""
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def refuse_if_told_otherwise(self) -> None:
        """Raises where the model in use does not come from the store, so that nothing is claimed that is not so."""
        if self.site_bundle:
            raise ConfigError(
                f"classifier.bundle names {self.site_bundle}, so the active model is not used",
                "empty that key, restart the daemon, then activate",
            )
        status = self.status()
        if status is not None and not same(status["models"], self.store.folder):
            whose = f"takes its model from {status['models']}" if status["models"] else "was given a bundle by name"
            raise ConfigError(
                f"the daemon that runs {whose} or is no service, so it does not use {self.store.folder}",
                "start it as a service, without --model and classifier.bundle",
            )

    def status(self) -> dict[str, Any] | None:
        """None where no daemon runs, or it hangs. Raises Refused."""
        try:
            return read_status(self.statuses)
        except Unavailable:
            return None

    def runs(self) -> bool:
        """Is a daemon there, be it one that hangs just now? Raises Refused."""
        try:
            read_status(self.statuses)
        except Hangs:
            return True
        except Unavailable:
            return False
        return True

    def await_work(self, tag: str, limit_s: float) -> Outcome:
        """Until the daemon's status shows the model at work. Raises GivenUp, or NotSeen after the limit."""
        until_s = self.clock() + limit_s
        while True:
            trial = self.store.trial()
            if trial and trial.model == tag and trial.state == "rolled_back":
                raise GivenUp(f"model {tag} was given up: {trial.why}", f"{trial.previous} serves, see 'edge status'")
            status = self.status()
            if status and status["model"] == tag and is_at_work(tag, status["trial"]):
                return Outcome(tag, "at_work", status["trial"])
            if self.clock() >= until_s:
                raise NotSeen(
                    f"model {tag} is active and was not seen at work within {limit_s:.0f} s",
                    "the daemon goes back by itself unless it comes to work, see 'edge model list' and 'edge status'",
                )
            self.sleep(LOOK_S)


def is_at_work(tag: str, trial: dict[str, Any] | None) -> bool:
    """Has the model that serves judged a frame? One that is not on trial has, long ago."""
    return trial is None or trial["model"] != tag or bool(trial["at_work"])


def same(folder: str | None, other: Path) -> bool:
    return folder is not None and Path(folder).resolve() == other.resolve()


def activate(
    tag: str, door: Door, window_s: float = WINDOW_S, wait_s: float = WAIT_S, test: Tester = self_test
) -> Outcome:
    """Verify an installed bundle anew, make it active and wait until it is at work.

    Asked again for the model that is on trial, it goes on waiting. Raises InputMissing where it is not installed, Busy
    while another model is on trial or another command is at it.
    """
    store = door.store
    with store.changing():
        trial = store.settle()
        if not TAG.fullmatch(tag) or not store.path(tag).is_dir():
            here = ", ".join(store.tags()) or "none is"
            raise InputMissing(f"model {tag} is not installed", f"install it first, or name one that is ({here})")
        door.refuse_if_told_otherwise()
        refuse_if_on_trial(trial, but=tag)
        if store.active() != tag:
            verify(store.path(tag), test)
            store.begin(Trial(tag, store.serving(), store.previous(), window_s=window_s, wait_s=wait_s))
    return await_or_say(tag, door, wait_s)


def rollback(door: Door, wait_s: float = WAIT_S, test: Tester = self_test) -> Outcome:
    """Go back to the previous model, without a trial: it has served before. A trial that is on ends with it.

    Where there is no previous one, that is the model that came with this version. Raises InputMissing where that is
    what serves.
    """
    store = door.store
    with store.changing():
        trial = store.settle()
        door.refuse_if_told_otherwise()
        if trial and trial.is_open:
            store.go_back(trial.model, BY_HAND)
            tag = trial.previous
        else:
            serving, tag = store.serving(), store.previous() or tag_of(shipped())
            if tag == serving:
                raise InputMissing(
                    f"model {tag} serves, and there is no other to go back to", "activate one by its name"
                )
            check_again(store, tag, test)
            begun = Trial(tag, serving, store.previous(), window_s=0.0, wait_s=wait_s)
            store.begin(begun, then=dataclasses.replace(begun, state="kept", why=BY_HAND, is_at_work=True))
    return await_or_say(tag, door, wait_s)


def refuse_if_on_trial(trial: Trial | None, but: str) -> None:
    if trial and trial.is_open and trial.model != but:
        raise Busy(
            f"model {trial.model} is on trial for {trial.left_s:.0f} s more",
            "try again then, or go back with 'edge model rollback'",
        )


def check_again(store: Store, tag: str, test: Tester) -> None:
    """What came with this version came with its signature, too: the package's."""
    if store.path(tag).is_dir():
        verify(store.path(tag), test)
    else:
        load_bundle(shipped())
        test(shipped())


def await_or_say(tag: str, door: Door, wait_s: float) -> Outcome:
    if not door.runs():
        trial = door.store.trial()
        note = "no daemon tells its status here: it takes effect at the next start"
        return Outcome(tag, "next_start", standing(trial) if trial else None, note)
    return door.await_work(tag, wait_s + GRACE_S)


def as_object(outcome: Outcome) -> dict[str, Any]:
    return {"v": 1, **dataclasses.asdict(outcome)}


def failure(tag: str | None, error: EdgeError) -> dict[str, Any]:
    """What ``--json`` prints where it went wrong: ``refused``: nothing was changed; else see GivenUp, NotSeen."""
    state = "rolled_back" if isinstance(error, GivenUp) else "not_seen" if isinstance(error, NotSeen) else "refused"
    return {"v": 1, "model": tag, "state": state, "why": str(error), "exit_code": error.exit_code}
