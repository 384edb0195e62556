"""The command line: ``edge run``, ``classify``, ``check``, ``status``, ``model``. Human text goes to stderr, data to
stdout."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from edge import __version__
from edge.config import DETECTORS, Config, load_config
from edge.errors import EXIT_INTERRUPTED, ConfigError, DiskError, EdgeError, Refused, UsageError, one_line
from edge.journal import asks, is_journal, set_up_logging
from edge.passwords import masked

if TYPE_CHECKING:
    from edge.models.activate import Door, Outcome

EXIT_OUR_FAULT: Final = 70
CONFIG_HELP: Final = "TOML file (default: /etc/mask-edge/config.toml where there is one)"

log = logging.getLogger("edge")


class Parser(argparse.ArgumentParser):
    """argparse with our exit code and our one line; every command has ``--version``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)
        self.add_argument("--version", action="version", version=f"edge {__version__}")

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{masked(message)}: see '{self.prog} --help'")


def build_parser() -> Parser:
    parser = Parser(prog="edge", description="Tells at a door whether each person wears a mask.", epilog=EPILOG)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    add_run(commands)
    add_classify(commands)
    add_check(commands)
    add_status(commands)
    add_model(commands)
    return parser


EPILOG: Final = """examples:
  edge run --source v4l2:/dev/video0 --sink mqtt://localhost
  edge run --source door.mp4 --sink jsonl:- --pace max
  edge classify photo.jpg --annotate looked-at/
  edge model fetch"""


def add_run(commands: Any) -> None:
    about = "Read frames, find faces, follow each person, decide once per person, publish events."
    example = "example:\n  edge run --source demo/door.mp4 --sink jsonl:- --pace max"
    parser = commands.add_parser(
        "run",
        help="the daemon; also the way to run a file through it",
        description=about,
        epilog=example,
    )
    add_shared(parser)
    add_ends(parser)
    parser.add_argument(
        "--pace",
        choices=("live", "max"),
        default="live",
        help="how a file is read: at its own speed like a camera, or every frame as fast as it goes (default: live)",
    )
    parser.add_argument(
        "--drain-s", type=seconds, metavar="S", help="seconds to wait at the end for undelivered events"
    )
    parser.set_defaults(act=act_run)


def add_classify(commands: Any) -> None:
    about = "Find and label the faces of still images. A folder stands for the images in it."
    example = "example:\n  edge classify photos/ --json --annotate looked-at/"
    parser = commands.add_parser("classify", help="still images", description=about, epilog=example)
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    add_shared(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line per image")
    parser.add_argument("--annotate", type=path, metavar="DIR", help="write copies with the faces drawn in")
    parser.set_defaults(act=act_classify)


def add_status(commands: Any) -> None:
    about = "What the running daemon is doing, and what is wrong with what to do; exit code 69 where none runs."
    example = "example:\n  edge status\n  edge status --json | jq .reasons"
    parser = commands.add_parser("status", help="what the running daemon is doing", description=about, epilog=example)
    parser.add_argument("--json", action="store_true", help="the health object plus seq")
    parser.set_defaults(act=act_status)


def add_check(commands: Any) -> None:
    about = "Look at config, clock, models, state folder, camera and broker, and tell everything that is wrong at once."
    example = (
        "examples:\n  edge check --config door.toml\n  edge check --source v4l2:/dev/video0 --sink mqtt://localhost"
    )
    parser = commands.add_parser("check", help="what keeps this door from working", description=about, epilog=example)
    add_shared(parser)
    add_ends(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object (docs/schema/check-v1.json)")
    parser.set_defaults(act=act_check)


def add_model(commands: Any) -> None:
    example = (
        "examples:\n  edge model list\n  edge model fetch yunet --from ~/downloads\n  edge model install FOLDER\n"
        "  edge model activate NAME@SHA12"
    )
    parser = commands.add_parser("model", help="models on this machine", epilog=example)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    about = "bundles and model files of others, and whether they are here"
    listing = actions.add_parser("list", help=about, description=about, epilog="example:\n  edge model list")
    listing.add_argument("--json", action="store_true", help="one JSON object (docs/deploy.md)")
    listing.set_defaults(act=act_model_list)
    about = "bring model files of others to this machine, checked"
    example = "example:\n  edge model fetch yunet --from ~/downloads"
    fetch = actions.add_parser("fetch", help=about, description=about, epilog=example)
    fetch.add_argument("names", nargs="*", metavar="NAME", help="default: all that are listed")
    fetch.add_argument("--from", dest="folder", type=path, metavar="FOLDER", help="look in this folder first")
    fetch.add_argument("--quiet", action="store_true", help="say only what went wrong")
    fetch.set_defaults(act=act_model_fetch)
    about = "check a bundle and its signature, then run its golden inputs in a process of their own"
    example = "example:\n  edge model verify models/mask-mnv2"
    verify = actions.add_parser("verify", help=about, description=about, epilog=example)
    verify.add_argument("bundle", metavar="BUNDLE", help="a bundle folder, or NAME@SHA12 of an installed one")
    verify.set_defaults(act=act_model_verify)
    add_changes(actions)


def add_changes(actions: Any) -> None:
    """What changes the models folder."""
    about = "verify a bundle and copy it to this machine; it does not take effect. Prints NAME@SHA12"
    example = "examples:\n  edge model install models/mask-mnv2\n  tar -C BUNDLE -c . | ssh door edge model install -"
    install = actions.add_parser("install", help="verify a bundle and copy it", description=about, epilog=example)
    install.add_argument("bundle", metavar="BUNDLE", help="a folder; - is a tar stream on stdin")
    install.add_argument(
        "--keep", type=count, default=5, metavar="N", help="bundles that stay, the latest (default: 5)"
    )
    install.set_defaults(act=act_model_install)
    about = "make an installed model the active one, and wait until the daemon has it at work"
    example = "example:\n  edge model activate mask-mnv2@3f9ac2d1e0b7 --trial 10"
    activate = actions.add_parser("activate", help=about, description=about, epilog=example)
    activate.add_argument("model", metavar="MODEL", help="NAME@SHA12, as 'edge model list' has it")
    activate.add_argument(
        "--trial", type=minutes, default=10.0, metavar="MIN", help="minutes until it is kept (default: 10; 0: at once)"
    )
    activate.set_defaults(act=act_model_activate)
    about = "go back to the previous model; ends a trial"
    back = actions.add_parser("rollback", help=about, description=about, epilog="example:\n  edge model rollback")
    back.set_defaults(act=act_model_rollback)
    for parser in (activate, back):
        parser.add_argument(
            "--wait", type=patience, default=120.0, metavar="S", help="seconds for it to come to work (default: 120)"
        )
        parser.add_argument("--config", type=path, metavar="F", help=CONFIG_HELP)
        parser.add_argument("--json", action="store_true", help="one JSON object (docs/deploy.md)")


def add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=path, metavar="F", help=CONFIG_HELP)
    parser.add_argument("--detector", choices=DETECTORS, help="face detector")
    parser.add_argument(
        "--model", metavar="BUNDLE", help="model bundle folder (default: the active one, else the shipped one)"
    )


def add_ends(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source",
        metavar="S",
        help="video file, image folder or glob, v4l2:/dev/video0, picamera2:0, rtsp://HOST/PATH",
    )
    parser.add_argument(
        "--sink",
        metavar="S",
        action="append",
        help="jsonl:PATH, jsonl:- (stdout), mqtt://[user@]host[:port], mqtts://...; may be given again",
    )


def path(text: str) -> Path:
    if not text:  # a shell's unset variable; to Path it would be the folder we are in
        raise argparse.ArgumentTypeError("must be a path, is empty")
    return Path(text)


def seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 600:
        raise argparse.ArgumentTypeError(f"must be 0-600 seconds, is {text}")
    return value


def patience(text: str) -> float:
    """Below five seconds every model would be late."""
    value = float(text)
    if not 5 <= value <= 600:
        raise argparse.ArgumentTypeError(f"must be 5-600 seconds, is {text}")
    return value


def minutes(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1440:
        raise argparse.ArgumentTypeError(f"must be 0-1440 minutes, is {text}")
    return value


def count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"must be 1-1000, is {text}")
    return value


def configure(args: argparse.Namespace) -> Config:
    """The configuration, with what the command line says instead."""
    return with_models(load_config(args.config), args)


def with_models(config: Config, args: argparse.Namespace) -> Config:
    detector = dataclasses.replace(config.detector, name=args.detector or config.detector.name)
    classifier = dataclasses.replace(config.classifier, bundle=args.model or config.classifier.bundle)
    return dataclasses.replace(config, detector=detector, classifier=classifier)


def with_ends(config: Config, args: argparse.Namespace) -> Config:
    camera = dataclasses.replace(config.camera, source=args.source or config.camera.source)
    publish = dataclasses.replace(config.publish, sinks=tuple(args.sink or config.publish.sinks))
    return dataclasses.replace(config, camera=camera, publish=publish)


def act_run(args: argparse.Namespace) -> int:
    from edge.daemon import run_daemon

    return run_daemon(run_config(args), args.pace, lambda: run_config(args))


def run_config(args: argparse.Namespace) -> Config:
    """Read anew at every call: a daemon that is told to reload asks again."""
    config = with_ends(configure(args), args)
    if args.drain_s is not None:
        publish = dataclasses.replace(config.publish, drain_s=args.drain_s)
        config = dataclasses.replace(config, publish=publish)
    if not config.camera.source:
        raise UsageError("no source: name one with --source, or as camera.source in the config file")
    if not config.publish.sinks:
        raise UsageError("no sink: name one with --sink (jsonl:- is stdout), or as publish.sinks in the config file")
    return config


def act_classify(args: argparse.Namespace) -> int:
    from edge.assemble import STILL_MIN_FACE_PX, open_classifier, open_detector
    from edge.still import Annotated, StillJudge, StillRun, as_text, dump, expand

    images = list(expand(args.images))
    config = configure(args)
    detector, classifier = open_detector(config), open_classifier(config)
    judge = StillJudge(detector, classifier, config.detector.min_face_px or STILL_MIN_FACE_PX)
    annotated = Annotated(args.annotate, images) if args.annotate else None
    still = StillRun(judge, classifier.model, detector.name, annotated)
    for image in images:
        answer = still.run(image)
        to = sys.stderr if "error" in answer and not args.json else sys.stdout
        print(dump(answer) if args.json else as_text(answer), file=to, flush=True)
    return still.exit_code


def act_status(args: argparse.Namespace) -> int:
    from edge.status import places, read_status, table

    status = read_status(places())
    print(json.dumps(status, separators=(",", ":")) if args.json else table(status))
    return 0


def act_check(args: argparse.Namespace) -> int:
    from edge.check import check
    from edge.findings import as_json, as_row, summary, worst

    logging.getLogger().setLevel(logging.WARNING)  # what is well stands in the table
    findings = []
    for finding in check(args.config, lambda config: with_ends(with_models(config, args), args)):
        findings.append(finding)
        if not args.json:
            print(as_row(finding), flush=True)
    print(as_json(findings) if args.json else summary(findings))
    return worst(findings)


def act_model_list(args: argparse.Namespace) -> int:
    from edge.models.listing import as_object, as_rows
    from edge.models.store import this_store

    if args.json:
        print(json.dumps(as_object(this_store())))
    else:
        for row in as_rows(this_store()):
            print(row)
    return 0


def act_model_fetch(args: argparse.Namespace) -> int:
    """Without names: all that are listed; one detector is enough then, what else could not be had is only said."""
    from edge.third_party import fetch, listed

    names = args.names or list(listed())
    missing = []
    for name in names:
        try:
            path = fetch(name, args.folder)
        except EdgeError as error:
            missing.append(error)
            continue
        if not args.quiet:
            print(f"{name}\t{path}")
    if missing and (args.names or len(missing) == len(names)):
        raise missing[0]
    for answer in () if args.quiet else missing:
        print(f"edge: note: {answer}", file=sys.stderr)
    return 0


def act_model_verify(args: argparse.Namespace) -> int:
    from edge.models.install import verify
    from edge.models.store import TAG, this_store

    installed = this_store().path(args.bundle)
    verified = verify(installed if TAG.fullmatch(args.bundle) and installed.is_dir() else path(args.bundle))
    print(f"{verified.said}; {verified.signed.in_words()}")
    return 0


def act_model_install(args: argparse.Namespace) -> int:
    from edge.models.install import install
    from edge.models.owner import act_as_owner
    from edge.models.store import this_store
    from edge.models.unpack import Impatient

    store = this_store()
    act_as_owner(store.folder)
    source = io.BufferedReader(Impatient(sys.stdin.fileno())) if args.bundle == "-" else Path(args.bundle)
    print(install(source, store, args.keep))
    return 0


def act_model_activate(args: argparse.Namespace) -> int:
    from edge.models.activate import activate

    def change(door: Door) -> Outcome:
        return activate(args.model, door, args.trial * 60, args.wait)

    return say_outcome(args, args.model, change, lambda: load_config(args.config).classifier.bundle)


def act_model_rollback(args: argparse.Namespace) -> int:
    from edge.models.activate import rollback

    def site_bundle() -> str:
        try:
            return load_config(args.config).classifier.bundle
        except ConfigError as error:  # the way back must be open: the daemon goes on under what it has
            print(f"edge: note: {one_line(str(error))}", file=sys.stderr)
            return ""

    return say_outcome(args, None, lambda door: rollback(door, args.wait), site_bundle)


def say_outcome(
    args: argparse.Namespace,
    model: str | None,
    change: Callable[[Door], Outcome],
    site_bundle: Callable[[], str],
) -> int:
    from edge.models.activate import Door, as_object, failure
    from edge.models.owner import act_as_owner
    from edge.models.store import this_store
    from edge.status import places

    store = this_store()
    act_as_owner(store.folder)
    try:
        outcome = change(Door(store, places(), site_bundle()))
    except EdgeError as error:
        if args.json:
            print(json.dumps(failure(model, error)))
        raise
    words = {"at_work": "is at work", "next_start": "is active"}
    note = f": {outcome.note}" if outcome.note else ""
    print(json.dumps(as_object(outcome)) if args.json else f"{outcome.model} {words[outcome.state]}{note}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is that of sysexits.h. A user's mistake is one line on stderr."""
    set_up_logging()
    try:
        args = build_parser().parse_args(argv)
        act: Callable[[argparse.Namespace], int] | None = getattr(args, "act", None)
        if act is None:
            raise UsageError("no command: see 'edge --help'")
        code = act(args)
        if sys.stdout is not None:  # None: the caller closed it
            sys.stdout.flush()  # here, where a full disk can still be told of
        return code
    except EdgeError as error:
        return tell(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        drop_stdout()
        return 0
    except OSError as error:
        return tell(of_the_system(error))
    except Exception:  # the last resort: nobody's mistake but ours shows a traceback
        log.exception("this is a fault of mask-edge: please report it with these lines", extra=asks("fault"))
        return EXIT_OUR_FAULT


def tell(error: EdgeError) -> int:
    if is_journal(sys.stderr):
        log.error("%s", one_line(str(error)), extra=asks("ended", exit_code=error.exit_code))
    else:
        print(f"edge: {one_line(str(error))}", file=sys.stderr)
    return error.exit_code


def of_the_system(error: OSError) -> EdgeError:
    """What no stage named: a file that this user may not open, or stdout on a full disk."""
    if error.filename is None:
        drop_stdout()
    if isinstance(error, PermissionError):
        return Refused(f"{error.filename} may not be used by this user: change its permissions")
    return DiskError(f"{error.filename or 'output'}: {error.strerror or error}: make room, or look after the device")


def drop_stdout() -> None:
    """What is still buffered goes nowhere, or Python would complain of it again at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
