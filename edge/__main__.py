"""The command line: ``edge run``, ``classify``, ``model``. Human text goes to stderr, data to stdout."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import platform
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from edge import __version__
from edge.config import DETECTORS, Config, load_config
from edge.errors import ConfigError, EdgeError, UsageError

EXIT_OUR_FAULT: Final = 70
EXIT_INTERRUPTED: Final = 130

log = logging.getLogger("edge")


class Parser(argparse.ArgumentParser):
    """argparse with our exit code and our one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}: see '{self.prog} --help'")


def build_parser() -> Parser:
    parser = Parser(
        prog="edge", description="Tells at a door whether each person wears a mask.", epilog=EPILOG, formatter_class=RAW
    )
    parser.add_argument("--version", action="version", version=f"edge {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    add_run(commands)
    add_classify(commands)
    add_model(commands)
    return parser


RAW: Final = argparse.RawDescriptionHelpFormatter
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
        formatter_class=RAW,
    )
    add_shared(parser)
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
    parser = commands.add_parser(
        "classify", help="still images", description=about, epilog=example, formatter_class=RAW
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    add_shared(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line per image")
    parser.add_argument("--annotate", type=Path, metavar="DIR", help="write copies with the faces drawn in")
    parser.set_defaults(act=act_classify)


def add_model(commands: Any) -> None:
    example = "examples:\n  edge model list\n  edge model fetch yunet --from ~/downloads\n  edge model verify models/mask-mnv2"
    parser = commands.add_parser("model", help="models on this machine", epilog=example, formatter_class=RAW)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    listing = actions.add_parser("list", help="bundles and model files of others, and whether they are here")
    listing.set_defaults(act=act_model_list)
    fetch = actions.add_parser("fetch", help="bring model files of others to this machine, checked")
    fetch.add_argument("names", nargs="*", metavar="NAME", help="default: all that are listed")
    fetch.add_argument("--from", dest="folder", type=Path, metavar="FOLDER", help="look in this folder first")
    fetch.add_argument("--quiet", action="store_true", help="say only what went wrong")
    fetch.set_defaults(act=act_model_fetch)
    verify = actions.add_parser("verify", help="check a bundle, then run its golden inputs")
    verify.add_argument("bundle", type=Path)
    verify.set_defaults(act=act_model_verify)


def add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="F", help="TOML file (default: /etc/mask-edge/config.toml where there is one)"
    )
    parser.add_argument("--detector", choices=DETECTORS, help="face detector")
    parser.add_argument(
        "--model", metavar="BUNDLE", help="model bundle folder (default: the active one, else the shipped one)"
    )


def seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 600:
        raise argparse.ArgumentTypeError(f"must be 0-600 seconds, is {text}")
    return value


def configure(args: argparse.Namespace) -> Config:
    """The configuration, with what the command line says instead."""
    config = load_config(args.config)
    detector = dataclasses.replace(config.detector, name=args.detector or config.detector.name)
    classifier = dataclasses.replace(config.classifier, bundle=args.model or config.classifier.bundle)
    return dataclasses.replace(config, detector=detector, classifier=classifier)


def act_run(args: argparse.Namespace) -> int:
    from edge.daemon import run_daemon

    config = configure(args)
    camera = dataclasses.replace(config.camera, source=args.source or config.camera.source)
    drain_s = config.publish.drain_s if args.drain_s is None else args.drain_s
    publish = dataclasses.replace(config.publish, sinks=tuple(args.sink or config.publish.sinks), drain_s=drain_s)
    if not camera.source:
        raise UsageError("no source: name one with --source, or as camera.source in the config file")
    if not publish.sinks:
        raise UsageError("no sink: name one with --sink (jsonl:- is stdout), or as publish.sinks in the config file")
    return run_daemon(dataclasses.replace(config, camera=camera, publish=publish), args.pace)


def act_classify(args: argparse.Namespace) -> int:
    from edge.assemble import STILL_MIN_FACE_PX, open_classifier, open_detector
    from edge.still import StillJudge, StillRun, as_text, dump, expand

    images = list(expand(args.images))
    config = configure(args)
    detector, classifier = open_detector(config), open_classifier(config)
    judge = StillJudge(detector, classifier, config.detector.min_face_px or STILL_MIN_FACE_PX)
    still = StillRun(judge, classifier.model, detector.name, args.annotate)
    for image in images:
        answer = still.run(image)
        print(dump(answer) if args.json else as_text(answer), flush=True)
    return still.exit_code


def act_model_list(_args: argparse.Namespace) -> int:
    from edge.bundle import load_bundle
    from edge.places import default_bundle
    from edge.third_party import is_present, listed

    path = default_bundle()
    try:
        print(f"{load_bundle(path).tag}\tclassifier\tin use\t{path}")
    except EdgeError as error:
        print(f"{path.name}\tclassifier\tnot usable: {error}\t{path}")
    for name, item in listed().items():
        print(f"{name}\tdetector\t{'here' if is_present(name) else 'not here: edge model fetch ' + name}\t{item.what}")
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
    from edge.golden import check_golden

    print(check_golden(args.bundle))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is that of sysexits.h. A user's mistake is one line on stderr."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="edge: %(message)s")
    try:
        args = build_parser().parse_args(argv)
        act: Callable[[argparse.Namespace], int] | None = getattr(args, "act", None)
        if act is None:
            raise UsageError("no command: see 'edge --help'")
        return act(args)
    except EdgeError as error:
        print(f"edge: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again at its end
        return 0


if __name__ == "__main__":
    sys.exit(main())
