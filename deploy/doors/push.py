"""``deploy/push BUNDLE HOST...``: a new model to one door or to many, the first one before all others.

Everything that counts is done by the door: it verifies, tries, switches, and goes back by itself (``edge model``,
docs/deploy.md). From here comes the bundle, and the order in which doors get it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from deploy.doors import commandline, inventory, settings
from deploy.doors.commandline import tell
from deploy.doors.inventory import Door
from deploy.doors.parcel import Parcel, parcel, sign
from deploy.doors.ssh import Connection, ConnectionLost, Done, Ssh, last_line, ssh_for
from edge.__main__ import minutes, patience
from edge.errors import Busy, DataError, EdgeError, Refused, Unavailable, UsageError

EPILOG: Final = """examples:
  deploy/push models/mask-mnv2 mask-edge-deploy@front-door
  deploy/push --sign ~/.ssh/models --inventory doors.yaml site-7 doors --canary gate-01 --wave 20
  deploy/push site-7 front-door --wait-trial

A door that has the model at work already is left alone, so a push that was stopped goes on where it was.
docs/deploy.md tells what a door does when it goes wrong."""
SCHEMA: Final = 1
LISTED: Final = frozenset(("active", "trial", "models"))
NOT_FOUND: Final = 127
TRIES: Final = 3  # a line that is cut is taken up again
PAUSE_S: Final = 5.0
BUSY_S: Final = 45.0
LOOK_S: Final = 10.0
GRACE_S: Final = 120.0  # what a wait at a door may take longer: its self-test, its signature, its last look

State = Literal["at work", "kept", "was so", "rolled back", "failed", "not tried"]


@dataclass(frozen=True, slots=True)
class Pushed:
    """How it went at one door. took_s: from the first word to the last. why: for people, empty where all is well."""

    door: str
    state: State
    why: str = ""
    exit_code: int = 0
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Wish:
    """trial_min: minutes of the door's trial; wait_s: until the model must be at work; to_the_end: of the trial."""

    trial_min: int
    wait_s: int
    to_the_end: bool


def build_parser() -> commandline.Parser:
    about = "Bring a model to doors: each verifies it, tries it, and goes back by itself when it does not come to work."
    parser = commandline.parser("deploy/push", about, EPILOG)
    add = parser.add_argument
    add("bundle", type=Path, metavar="BUNDLE", help="the bundle's folder")
    commandline.add_doors(parser)
    add("-l", "--login", metavar="USER", help="log in as this user, whatever the inventory says (mask-edge-deploy)")
    add("-i", "--identity", type=Path, metavar="KEY", help="with this key")
    add("--sign", type=Path, metavar="KEY", help="sign the bundle first; the key stays here")
    add("--canary", metavar="HOST", help="the door that gets it before all others (default: the first)")
    add(
        "--wave",
        type=commandline.count,
        metavar="N",
        help="doors that get it next, and so on (default: all that are left)",
    )
    add("--trial", type=trial_min, default=10, metavar="MIN", help="minutes until a door keeps it (default: 10)")
    add("--wait", type=wait_s, default=120, metavar="S", help="seconds for it to come to work (default: 120)")
    add("--wait-trial", action="store_true", help="stay until the trial is over; the next wave begins only then")
    return parser


def trial_min(text: str) -> int:
    """As the door takes it (``edge model activate --trial``), whole minutes."""
    return round(minutes(text))


def wait_s(text: str) -> int:
    return round(patience(text))


def main(argv: Sequence[str] | None = None) -> int:
    return commandline.end(build_parser(), push, argv)


def push(args: argparse.Namespace) -> int:
    doors = [as_told(door, args) for door in inventory.doors(args.hosts, args.inventory, settings.NAMES)]
    order = list(waves(doors, args.canary, args.wave))
    if args.sign:
        sign(args.bundle, args.sign)
    sent = parcel(args.bundle)
    tell(f"{sent.tag}: in order on this machine, {len(sent.stream):,} bytes to send")
    wish = Wish(args.trial, args.wait, args.wait_trial)
    with ssh_for(len(doors), args.ssh_config) as ssh:
        results = rolled_out(order, partial(at_door, ssh, sent, wish), args.parallel)
    print(as_json(sent.tag, results) if args.json else table(results))
    return max(one.exit_code for one in results)


def as_told(door: Door, args: argparse.Namespace) -> Door:
    target = door.target
    target = dataclasses.replace(target, user=args.login or target.user, key_file=args.identity or target.key_file)
    return dataclasses.replace(door, target=target)


def waves(doors: Sequence[Door], canary: str | None, size: int | None) -> Iterator[list[Door]]:
    """One door, then so many at a time. Raises UsageError for a canary that is not among them."""
    first = [door for door in doors if door.target.name == canary] if canary else list(doors[:1])
    if not first:
        raise UsageError(
            f"--canary {canary} is none of the doors: name one of {', '.join(d.target.name for d in doors)}"
        )
    yield first
    rest = [door for door in doors if door is not first[0]]
    for start in range(0, len(rest), size or len(rest) or 1):
        yield rest[start : start + (size or len(rest))]


def rolled_out(order: Sequence[Sequence[Door]], at: Callable[[Door], Pushed], parallel: int) -> list[Pushed]:
    """Wave after wave; after one in which a door failed no other is begun."""
    results: list[Pushed] = []
    for number, wave in enumerate(order):
        with ThreadPoolExecutor(parallel) as pool:
            results += pool.map(at, wave)
        if any(one.exit_code for one in results):
            left = [door for later in order[number + 1 :] for door in later]
            return results + [Pushed(door.target.name, "not tried", "a door before it failed") for door in left]
    return results


def at_door(ssh: Ssh, sent: Parcel, wish: Wish, door: Door) -> Pushed:
    """One door, to its end; what goes wrong there is its own."""
    name, began_s = door.target.name, time.monotonic()
    connection = Connection(ssh, door.target)
    try:
        state = brought(connection, sent, wish)
        done = Pushed(name, state)
    except GivenUp as error:
        done = Pushed(name, "rolled back", str(error), error.exit_code)
    except EdgeError as error:
        done = Pushed(name, "failed", str(error), error.exit_code)
    except OSError as error:
        here = commandline.of_this_machine(error)
        done = Pushed(name, "failed", str(here), here.exit_code)
    finally:
        with suppress(OSError):
            connection.close()
    done = dataclasses.replace(done, took_s=round(time.monotonic() - began_s, 1))
    tell(f"{name}: {done.state}{f': {done.why}' if done.why else ''}")
    return done


class GivenUp(DataError):
    """The door went back by itself."""


def brought(connection: Connection, sent: Parcel, wish: Wish) -> State:
    name, tag = connection.target.name, sent.tag
    there = told(again(lambda: connection.edge("model list --json")), name)
    was_active, here = there["active"] == tag, is_here(there, sent)
    if not here:
        tell(f"{name}: sending {tag}")
        done = again(lambda: connection.edge("model install -", sent.stream))
        if done.code:
            raise refusal(done, name)
        if done.out.strip() != tag:
            raise DataError(f"{name} took {done.out.strip() or 'nothing'} for {tag}: run this again")
    words = f"model activate {tag} --trial {wish.trial_min} --wait {wish.wait_s} --json"
    done = again(lambda: connection.edge(words, timeout_s=wish.wait_s + GRACE_S))
    said = told(done, name, may_fail=True)
    if said["state"] == "rolled_back":
        raise GivenUp(str(said["why"]))
    if said["state"] == "next_start":
        raise Unavailable(f"{tag} is active, but no daemon runs to take it up: systemctl start mask-edge on {name}")
    if said["state"] != "at_work":
        raise AtTheDoor(done.code, str(said["why"]))
    if wish.to_the_end:
        return awaited(connection, tag, wish)
    return "was so" if was_active and here else "at work"


def is_here(listing: dict[str, Any], sent: Parcel) -> bool:
    """The same bundle, in order, and signed as far as that counts there."""
    for one in listing["models"]:
        if one["model"] == sent.tag and not one["state"].startswith("shipped"):
            wants_signature = sent.is_signed and one["signature"] == "unsigned"
            return bool(one["is_usable"]) and one["signature"] != "refused" and not wants_signature
    return False


def awaited(connection: Connection, tag: str, wish: Wish) -> State:
    """The end of the trial. Its minutes are those in which the camera gave frames, so it may take longer."""
    until_s = time.monotonic() + 60 * wish.trial_min * 2 + GRACE_S
    while time.monotonic() < until_s:
        there = told(again(lambda: connection.edge("model list --json")), connection.target.name)
        trial = there["trial"]
        if there["active"] != tag and (trial is None or trial["model"] != tag):
            raise Unavailable(
                f"{tag} is not active any more: somebody changed it meanwhile, see 'edge model list' there"
            )
        if trial is None or trial["model"] != tag or trial["state"] == "kept":
            return "kept"
        if trial["state"] == "rolled_back":
            raise GivenUp(str(trial["why"]))
        time.sleep(min(LOOK_S, max(1.0, float(trial["left_s"]))))
    raise Unavailable(f"the trial of {tag} has not ended: the door goes on with it by itself, see 'edge status' there")


def again(command: Callable[[], Done]) -> Done:
    """A line that is cut costs nothing: each of the door's commands may be given once more, and goes on.

    The door may wait for the rest of what was cut for half a minute, and says that it is busy.
    """
    lost = 0
    busy_until_s = 0.0
    while True:
        try:
            done = command()
        except ConnectionLost:
            lost += 1
            if lost == TRIES:
                raise
            busy_until_s = time.monotonic() + BUSY_S
        else:
            if done.code != Busy.exit_code or time.monotonic() > busy_until_s:
                return done
        time.sleep(PAUSE_S)


def told(done: Done, name: str, may_fail: bool = False) -> dict[str, Any]:
    """The object that a command printed. may_fail: it prints one where it went wrong, too."""
    if not done.code or may_fail:
        with suppress(ValueError):
            said = json.loads(done.out)
            if isinstance(said, dict) and (said.keys() >= LISTED or "state" in said):
                return said
    raise refusal(done, name)


def refusal(done: Done, name: str) -> EdgeError:
    said = last_line(done)
    if done.code == NOT_FOUND:
        return Unavailable(f"{name} has no mask-edge ({said}): deploy/install {name} first")
    if said.startswith("sudo:"):
        return Refused(f"{name} does not let this user bring models ({said}): deploy/install --deploy-key there")
    return AtTheDoor(done.code, said.removeprefix("edge: "))


class AtTheDoor(EdgeError):
    """What a command of the door said went wrong, with its exit code."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.exit_code = code or EdgeError.exit_code


def table(results: Sequence[Pushed]) -> str:
    rows = [("door", "result", "took", "it says")]
    rows += [(one.door, one.state, f"{one.took_s:.0f} s" if one.took_s else "", one.why) for one in results]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ("  ".join((*map(str.ljust, row[:3], widths), row[3])).rstrip() for row in rows)
    return "\n".join(lines)


def as_json(tag: str, results: Sequence[Pushed]) -> str:
    return json.dumps({"v": SCHEMA, "model": tag, "doors": [dataclasses.asdict(one) for one in results]}, indent=2)


if __name__ == "__main__":
    sys.exit(main())
