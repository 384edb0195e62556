"""``deploy/install HOST...``: from a bare Debian 12 or Raspberry Pi OS to a running door, and back."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from deploy.doors import commandline, facts, inventory, plan, report, settings, wheels
from deploy.doors.commandline import tell
from deploy.doors.inventory import Door
from deploy.doors.plan import Wish
from deploy.doors.report import DoorReport
from deploy.doors.ssh import Connection, Ssh, as_root, ssh_for
from deploy.doors.steps import Outcome, Send, Step, StepFailed, carry_out
from edge.errors import EdgeError, InputMissing, UsageError

EPILOG: Final = """examples:
  deploy/install root@192.168.7.20 --camera v4l2:/dev/video0 --broker mqtt://192.168.7.2
  deploy/install --inventory doors.yaml entrance --dry-run
  deploy/install --remove front-door

Connections are ssh's own: its configuration, agent and known_hosts. docs/deploy.md tells the rest."""
# The daemon writes its status every 5 s; a first one may lack what a second has.
STATUS: Final = """for _ in $(seq 15); do
    edge status --json 2>/dev/null && exit
    sleep 1
done
edge status --json"""
AS_THE_UNIT: Final = (
    "systemd-run --pipe --quiet --wait -p User=mask-edge -p SupplementaryGroups=video -p StateDirectory=mask-edge "
    "-p LoadCredential=mqtt_password:mask-edge.mqtt_password /opt/mask-edge/bin/edge check --json"
)


def build_parser() -> commandline.Parser:
    about = "Make machines that ssh reaches into running doors. A second run changes nothing."
    parser = commandline.parser("deploy/install", about, EPILOG)
    commandline.add_doors(parser)
    add = parser.add_argument
    add("--dry-run", action="store_true", help="print every step and touch nothing")
    add("-K", "--ask-become-pass", action="store_true", help="ask for sudo's password")
    add = parser.add_argument_group("what a door is told, where the inventory does not (mask_edge_...)").add_argument
    add(
        "--device",
        metavar="NAME",
        help="name in topics and events (default: the door's name there, else its host name)",
    )
    add("--camera", metavar="S", help="v4l2:/dev/video0, picamera2:0, rtsp://..., a file")
    add("--broker", metavar="URL", help="mqtt://[user@]host[:port] or mqtts://...")
    add("--ca-file", metavar="FILE", help="CA certificates that the broker's is checked against")
    add("--password-file", metavar="FILE", help="the broker's password on its first line")
    add("--ask-password", action="store_true", help="ask for the broker's password")
    add("--template", metavar="FILE", help="another config.toml, with $device, $camera, $broker, $ca_file")
    add("--replace-config", action="store_true", help="write the configuration though there is one")
    add("--deploy-key", metavar="FILE", help="public keys that may bring models (user mask-edge-deploy)")
    add("--debs", type=Path, metavar="DIR", help="Debian packages to bring along, for a door without a mirror")
    add = parser.add_argument_group("away with it").add_argument
    add("--remove", action="store_true", help="take the door away; configuration, events and models stay")
    add("--purge", action="store_true", help="with --remove: those, too")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    return commandline.end(build_parser(), install, argv)


def install(args: argparse.Namespace) -> int:
    doors = inventory.doors(args.hosts, args.inventory, settings.NAMES)
    refuse(args, doors)
    work = Work(
        args,
        broker_password=(getpass.getpass("password for the broker: ").encode() + b"\n") if args.ask_password else b"",
        sudo_password=getpass.getpass("sudo's password: ").encode() if args.ask_become_pass else None,
    )
    if not args.remove:
        for door in doors:
            work.refuse_mistakes(door)
    with ssh_for(len(doors), args.ssh_config) as ssh, ThreadPoolExecutor(args.parallel) as pool:
        reports = list(pool.map(partial(work.on, ssh), doors))
    print(report.as_json(reports) if args.json else report.table(reports, args.dry_run))
    if not args.json:
        say_what_next(args, reports)
    return max((one.exit_code for one in reports), default=0)


def refuse(args: argparse.Namespace, doors: Sequence[Door]) -> None:
    """Mistakes that need no door to be seen."""
    if args.device and len(doors) > 1:
        raise UsageError("--device names one door, and these are several: mask_edge_device in an inventory names each")
    if args.purge and not args.remove:
        raise UsageError("--purge goes with --remove: give both, or neither")
    if args.debs and not list(args.debs.glob("*.deb")):
        raise InputMissing(f"no .deb in {args.debs}: see docs/deploy.md for how to fill such a folder")


def say_what_next(args: argparse.Namespace, reports: Sequence[DoorReport]) -> None:
    if args.dry_run or any(one.error for one in reports):
        return
    if not any(one.changed for one in reports):
        print("0 changed: everything was so already")
    if args.remove and not args.purge:
        print("kept: /etc/mask-edge, /etc/credstore/mask-edge.mqtt_password, /var/lib/mask-edge; --purge removes them")


@dataclass(frozen=True)
class Work:
    """What is done on each door."""

    args: argparse.Namespace
    broker_password: bytes
    sudo_password: bytes | None

    def on(self, ssh: Ssh, door: Door) -> DoorReport:
        """One door, to its end; what goes wrong there is its report's and no other's."""
        connection = Connection(ssh, door.target)
        try:
            root = as_root(connection, self.sudo_password)
            return self.carried_out(root, door)
        except StepFailed as error:
            for line in error.detail.splitlines():
                tell(f"{door.target.name}: | {line}")
            return DoorReport(door.target.name, error.outcomes, str(error), error.detail, error.exit_code)
        except EdgeError as error:
            return DoorReport(door.target.name, error=str(error), exit_code=error.exit_code)
        except OSError as error:
            here = commandline.of_this_machine(error)
            return DoorReport(door.target.name, error=str(here), exit_code=here.exit_code)
        finally:
            with suppress(OSError):
                connection.close()

    def carried_out(self, root: Connection, door: Door) -> DoorReport:
        name, args = door.target.name, self.args
        if args.remove:
            steps = plan.removing(args.purge)
        else:
            known = facts.look(root)
            software = wheels.software(wheels.kind_of(known, name))
            wish = Wish(self.told(door), args.debs, args.replace_config)
            steps = plan.installing(software, wish, known, name)
        outcomes = carry_out(steps, root, args.dry_run, partial(self.progress, name))
        if args.remove or args.dry_run:
            return DoorReport(name, outcomes)
        checked = ask(root, AS_THE_UNIT) or {}
        return DoorReport(name, outcomes, status=ask(root, STATUS), findings=checked.get("findings", ()))

    def refuse_mistakes(self, door: Door) -> None:
        """What can be read here is read before any door hears of it."""
        told = self.told(door)
        if told.camera and told.broker:
            told.config("door", door.target.name)

    def told(self, door: Door) -> settings.Settings:
        """The command line before the inventory; its paths begin here, those of the inventory in its folder."""
        own = dict(door.own)
        for key in ("ca_file", "password_file", "template", "deploy_key"):
            if key in own:
                own[key] = str(door.folder.resolve() / Path(own[key]).expanduser())
        if self.args.inventory and "device" not in own:
            own["device"] = door.target.name
        given = {key: getattr(self.args, key) for key in settings.NAMES if getattr(self.args, key)}
        return settings.settings(own | given, self.broker_password, Path.cwd())

    def progress(self, name: str, outcome: Outcome, step: Step) -> None:
        tell(f"{name}: {outcome.what}: {outcome.state}{f' ({outcome.note})' if outcome.note else ''}")
        if outcome.state == "to do":
            for act in step.acts:
                text = f"send {act.what} to {act.folder}" if isinstance(act, Send) else act.script
                for line in text.splitlines():
                    tell(f"    {line}")


def ask(root: Connection, script: str) -> dict[str, Any] | None:
    """A command of the door that prints one object; None where it printed none."""
    with suppress(ValueError):
        said = json.loads(root.run(script).out)
        if isinstance(said, dict):
            return said
    return None


if __name__ == "__main__":
    sys.exit(main())
