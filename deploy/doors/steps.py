"""Steps: what is to be so, how to see that it is so already, how to make it so.

Install, dry run and removal are lists of these; what is told at the end comes from the same list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from deploy.doors.ssh import Connection, Done
from edge.errors import Busy, DiskError, EdgeError, Unavailable

State = Literal["is so", "done", "to do", "failed"]
SHOWN: Final = 12  # lines of what a failed command wrote


@dataclass(frozen=True, slots=True)
class Run:
    """A shell script that the door's root runs. stdin: what it reads, as bytes, as a file, or as a file that is made
    only when it is needed; contents and secrets travel there and never in ``script``, which is shown."""

    script: str
    stdin: bytes | Path | Callable[[], Path] = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Send:
    """Files into a folder of the door, only those that it lacks. what: them, in words."""

    what: str
    files: Callable[[], Sequence[Path]]
    folder: str


@dataclass(frozen=True, slots=True)
class Step:
    """what: the thing, by name. holds: exit status 0 when it is so already; a word on stdout is told. acts: in order,
    each of them harmless when it is done again. remedy: what to do when one fails."""

    what: str
    holds: Run
    acts: tuple[Run | Send, ...]
    remedy: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended. note: what the door said to it."""

    what: str
    state: State
    note: str = ""


class StepFailed(Unavailable):
    """A step could not be done. outcomes: of those before it and of itself."""

    def __init__(self, message: str, outcomes: list[Outcome], detail: str) -> None:
        super().__init__(message)
        self.outcomes = outcomes
        self.detail = detail


class DiskFull(StepFailed, DiskError):
    exit_code = DiskError.exit_code


class InUse(StepFailed, Busy):
    exit_code = Busy.exit_code


def carry_out(
    steps: Sequence[Step], door: Connection, is_dry: bool, tell: Callable[[Outcome, Step], None]
) -> list[Outcome]:
    """Step after step; the first that fails ends it. is_dry: look, and do nothing.

    Raises StepFailed, ConnectionLost."""
    outcomes: list[Outcome] = []
    for step in steps:
        seen = door.run(step.holds.script, sent(step.holds))
        if seen.code == 0:
            outcomes.append(Outcome(step.what, "is so", seen.out.strip()))
        elif is_dry:
            outcomes.append(Outcome(step.what, "to do"))
        else:
            make_so(step, door, outcomes)
            outcomes.append(Outcome(step.what, "done"))
        tell(outcomes[-1], step)
    return outcomes


def make_so(step: Step, door: Connection, before: list[Outcome]) -> None:
    for act in step.acts:
        try:
            if isinstance(act, Send):
                door.send(act.files(), act.folder)
                continue
            done = door.run(act.script, sent(act))
        except EdgeError as error:
            raise failed(step, door, before, str(error), error) from error
        if done.code:
            raise failed(step, door, before, said(done), is_busy=done.code == Busy.exit_code)


def sent(run: Run) -> bytes | Path:
    return run.stdin() if callable(run.stdin) else run.stdin


def failed(
    step: Step,
    door: Connection,
    before: list[Outcome],
    detail: str,
    error: EdgeError | None = None,
    *,
    is_busy: bool = False,
) -> StepFailed:
    lines = detail.splitlines() or ["it said nothing"]
    outcomes = [*before, Outcome(step.what, "failed", lines[-1])]
    name = door.target.name
    if error is not None:
        raised = StepFailed(f"{name}: {step.what} could not be done: {error}", outcomes, "")
        raised.exit_code = error.exit_code
        return raised
    kind, remedy = (InUse, "run this again") if is_busy else (StepFailed, step.remedy)
    if "No space left" in detail:
        kind, remedy = DiskFull, "make room on it"
    return kind(f"{name}: {step.what} could not be done ({lines[-1]}): {remedy}", outcomes, detail)


def said(done: Done) -> str:
    lines = (done.out + done.err).strip().splitlines()
    return "\n".join(lines[-SHOWN:]) or f"exit status {done.code}"
