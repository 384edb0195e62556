"""``edge check``: everything that keeps this door from working, found at once and not one start after the other.

Each part is looked at by the code that ``edge run`` opens it with, so that the two cannot disagree. Nothing is left
behind: no event, no file, no word at the broker.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from edge.assemble import open_classifier, open_detector
from edge.bundle import load_bundle
from edge.clock import is_synced, rfc3339_ms
from edge.config import Config, examine_config, read_config, system_config
from edge.daemon import open_camera, sink_settings
from edge.errors import ConfigError, DataError, DiskError, EdgeError, OutputError, Refused, Unavailable, UsageError
from edge.findings import Finding, Part, doubtful, well, wrong
from edge.golden import check_golden
from edge.journal import asks
from edge.outbox import FILE, is_sound
from edge.outbox.holder import holder
from edge.passwords import masked
from edge.places import default_bundle, state_dir
from edge.sinks import check_sink, check_sinks, is_broker
from edge.sinks.mqtt import line_to
from edge.sinks.mqtt_endings import How
from edge.sinks.mqtt_probe import probe
from edge.sources import SourceLost

log = logging.getLogger(__name__)

EVENT_BYTES: Final = 600  # of disk for an event that waits: about 420 of payload, SQLite's own, and room to spare
MIN_FREE_BYTES: Final = 16 << 20  # below it not even the outbox's log has room to work

# What each part is found by. Where one of these is not as it was meant, something else would be looked at.
KEYS: Final[dict[Part, tuple[tuple[str, str], ...]]] = {
    "model": (("classifier", "bundle"),),
    "detector": (("detector", "name"),),
    "camera": (("camera", "source"), ("camera", "password_file")),
    "sink": (
        ("publish", "sinks"),
        ("device", "name"),
        *(("mqtt", key) for key in ("password_file", "ca_file", "cert_file", "key_file", "allow_plaintext_password")),
    ),
}

# What to do where an error does not say so itself.
HELD_BY_ONE: Final = ("v4l2:", "picamera2:")  # cameras that serve one program at a time
REMEDIES: Final[dict[Part, str]] = {
    "clock": "let it reach a time server",
    "config": "correct it in the config file (docs/config.example.toml lists every key)",
    "model": "copy the bundle again, or leave classifier.bundle empty",
    "detector": "run 'edge model fetch'",
    "state": "see that the disk is there and may be written",
    "camera": "look after the camera, its cable and power, and camera.source",
    "sink": "see that it is there and can be reached, or correct publish.sinks",
}


def check(path: Path | None, override: Callable[[Config], Config] = lambda config: config) -> Iterator[Finding]:
    """Every part in turn, as it is found. path: the config file; None is the system's, or all defaults.

    override: what the command line says instead. A part whose keys in the file are not as they were meant is not looked
    at: whatever was found would be about something else.
    """
    filed, unusable, findings = look_at_config(path)
    yield from findings
    config = override(filed)
    skip = partial(not_meant, unusable, filed, config)
    yield look_at_clock()
    bundle = config.classifier.bundle
    without_model = skip("model")
    yield without_model or attempt("model", bundle or "the active bundle", lambda: look_at_model(bundle))
    state = state_dir()
    running = holder(state)
    if without_model is None:
        yield from look_at_accelerator(config, running)
    yield skip("detector") or attempt("detector", config.detector.name, lambda: look_at_detector(config))
    yield from look_at_state(config, state, running)
    yield skip("camera") or look_at_camera(config, running)
    skipped = skip("sink")
    yield from look_at_sinks(config) if skipped is None else (skipped,)


def not_meant(unusable: Sequence[str], filed: Config, config: Config, part: Part) -> Finding | None:
    """Why a part is not looked at: the file's keys for it cannot be used, and the command line gives no others.

    unusable: keys and sections, "" for the whole file. config: ``filed`` with what the command line says instead.
    """
    found_by = KEYS[part]
    is_given = {pair: valued(config, *pair) != valued(filed, *pair) for pair in found_by}
    # With the first of them given, what the rest of an unreadable file would say is left at its defaults.
    whole = set() if is_given[found_by[0]] else {""}
    for section, key in found_by:
        which = f"{section}.{key}"
        if not is_given[section, key] and not {*whole, section, which}.isdisjoint(unusable):
            what = f"the {part} was not looked at: {which} in the config file cannot be used"
            return doubtful(part, which, what, "correct the config file, then check again")
    return None


def attempt(part: Part, which: str, look: Callable[[], str | Finding]) -> Finding:
    """What a look says, or why it failed; whatever that is, the other parts are still looked at."""
    try:
        found = look()
        return well(part, which, found) if isinstance(found, str) else found
    except UsageError as error:  # here it was the file that named it, not the command line
        return wrong(part, which, ConfigError(error.what, error.remedy), REMEDIES[part])
    except EdgeError as error:
        return wrong(part, which, error, REMEDIES[part])
    except OSError as error:
        kind = Refused if isinstance(error, PermissionError) else DiskError
        return wrong(part, which, kind(f"{error.filename or which}: {error.strerror or error}"), REMEDIES[part])
    except Exception as error:
        log.exception("this is a fault of mask-edge: please report it with these lines", extra=asks("fault"))
        return wrong(part, which, EdgeError(f"{type(error).__name__} in mask-edge itself"), "report it")


def valued(config: Config, section: str, key: str) -> object:
    return getattr(getattr(config, section), key)


def look_at_config(path: Path | None) -> tuple[Config, list[str], list[Finding]]:
    """The configuration as far as it can be used, the keys and sections that cannot, and what is wrong with them."""
    path = path or system_config()
    if path is None:
        return Config(), [], [well("config", "", "there is no config file, every key is at its default")]
    name = str(path)
    raw: dict[str, object] = {}

    def read() -> str:
        raw.update(read_config(path))
        return f"{path} is well formed"

    found = attempt("config", name, read)
    if found.level != "ok":
        return Config(), [""], [found]
    config, misuses = examine_config(raw)
    if not misuses:
        return config, [], [found]
    findings = [wrong("config", name, misuse.error, REMEDIES["config"]) for misuse in misuses]
    return config, [misuse.meant for misuse in misuses], findings


def look_at_clock() -> Finding:
    """A door works without a set clock; its events then say so."""
    now = rfc3339_ms(time.time())[:16].replace("T", " ")
    if is_synced():
        return well("clock", "", f"the clock is set by the network or a receiver: {now} UTC")
    what = f"nobody sets this machine's clock, which says {now} UTC: events will say unsynced"
    return doubtful("clock", "", what, "let it reach a time server (timedatectl timesync-status, or chronyc tracking)")


def look_at_model(bundle: str) -> str:
    """Names, sizes, hashes, then the golden inputs through the runtime of this machine."""
    return check_golden(Path(bundle) if bundle else default_bundle())


def look_at_accelerator(config: Config, running: int | None) -> Iterator[Finding]:
    """Would it judge now? Nothing where none is looked for, or the bundle cannot be used, which is told already."""
    asked = config.classifier
    try:
        compiled = load_bundle(Path(asked.bundle) if asked.bundle else default_bundle()).edgetpu_model
    except (EdgeError, OSError):
        return
    if asked.accelerator == "edgetpu" or (asked.accelerator == "auto" and compiled):
        yield attempt("model", "classifier.accelerator", lambda: judging_now(config, running))


def judging_now(config: Config, running: int | None) -> str:
    """An Edge TPU serves one process, so that of a running daemon is left alone."""
    if running:
        return f"the accelerator is left to the running daemon (pid {running}): see edge status"
    judge = open_classifier(config)
    try:
        return f"{config.classifier.accelerator}: {judge.runtime} judges"
    finally:
        judge.close()


def look_at_detector(config: Config) -> str:
    """The file's hash, the network built, and one empty picture through it: building alone proves little."""
    detector = open_detector(config)
    detector.find(np.full((480, 640, 3), 128, np.uint8))
    return f"{detector.name} is here and runs"


def look_at_state(config: Config, folder: Path, running: int | None) -> Iterator[Finding]:
    """May the outbox be written, and is there room for it to grow to its limit?"""
    yield attempt("state", str(folder), lambda: look_at_folder(folder, running))
    with_room = folder if folder.is_dir() else nearest(folder)
    free, most = shutil.disk_usage(with_room).free, config.outbox.max_events * EVENT_BYTES
    if free < MIN_FREE_BYTES:
        full = DiskError(f"{folder} has {free >> 20} MiB left, too little for an outbox", "make room")
        yield wrong("state", str(folder), full, REMEDIES["state"])
    elif free < most:
        held = (
            f"{folder} has room for {free // EVENT_BYTES:,} events, outbox.max_events is {config.outbox.max_events:,}"
        )
        yield doubtful("state", str(folder), held, "make room, or lower outbox.max_events")


def look_at_folder(folder: Path, running: int | None) -> str:
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not there.is_dir():
        raise OutputError(f"{there} is no folder, and the state folder {folder} needs one there", "take it away")
    if there != folder:
        if not os.access(there, os.W_OK | os.X_OK):
            raise Refused(f"{folder} is not there and this user may not make it", "make it, or run as the unit's user")
        return f"{folder} will be made by the first run"
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".check-") as file:
            file.write(b"x")
            file.flush()
    except PermissionError as error:
        raise Refused(f"{folder} may not be written by this user", "run this as root or as the unit's user") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskError(f"{folder} takes no file, its disk is full", "make room") from error
        raise DiskError(f"{folder} takes no file ({error.strerror})", REMEDIES["state"]) from error
    look_at_outbox(folder / FILE)
    return f"{folder} can be written" + (f"; a daemon is running (pid {running})" if running else "")


def look_at_outbox(path: Path) -> None:
    """Would a run find events in it, or have to set it aside?"""
    if not os.path.lexists(path):
        return
    if not path.is_file():
        raise OutputError(f"{path} is no file, so events would wait in memory only", "take it away")
    for file in (path, *path.parent.glob(f"{path.name}-*")):
        if not os.access(file, os.R_OK | os.W_OK):
            raise Refused(f"{file} may not be written by this user", "give it to the user that edge runs as")
    if not is_sound(path):
        raise DataError(
            f"{path} is damaged", "keep a copy if you need it; the next start sets it aside and begins anew"
        )


def nearest(folder: Path) -> Path:
    """The lowest folder above that is there."""
    return next(above for above in folder.parents if above.is_dir())


def look_at_camera(config: Config, running: int | None) -> Finding:
    """Open it and await a frame. A camera that our own daemon holds is in good hands."""
    source = masked(config.camera.source)
    if not source:
        return wrong(
            "camera", "camera.source", ConfigError("camera.source names no source"), "name one: v4l2:/dev/video0"
        )
    found = attempt("camera", source, lambda: first_frame(config))
    if running and config.camera.source.startswith(HELD_BY_ONE) and found.exit_code == Unavailable.exit_code:
        return well("camera", source, f"{source} is in use by the running daemon (pid {running}): see edge status")
    return found


def first_frame(config: Config) -> str:
    started_s = time.monotonic()
    with open_camera(config, "max") as source:
        try:
            frame = source.read(config.camera.read_timeout_s)
        except SourceLost as error:
            raise SourceLost(error.what, error.remedy or REMEDIES["camera"]) from error
        if frame is None:
            raise DataError(f"{source.name} holds no frame", "name another source")
        height, width = frame.image_bgr.shape[:2]
        return f"{source.name} gave a frame of {width} x {height} after {time.monotonic() - started_s:.1f} s"


def look_at_sinks(config: Config) -> Iterator[Finding]:
    """Each sink by itself, then what only all of them together can get wrong."""
    specs = config.publish.sinks
    if not specs:
        yield wrong(
            "sink", "publish.sinks", ConfigError("publish.sinks names no sink"), 'name one: ["mqtt://localhost"]'
        )
    each = [attempt("sink", masked(spec), partial(look_at_sink, config, spec)) for spec in specs]
    yield from each
    if all(finding.exit_code != ConfigError.exit_code for finding in each):  # else it would only say one of them again
        together = attempt("sink", "publish.sinks", partial(look_at_all_sinks, config))
        if together.level != "ok":
            yield together


def look_at_all_sinks(config: Config) -> str:
    check_sinks(config.publish.sinks, sink_settings(config, {}))
    return "they go together"


def look_at_sink(config: Config, spec: str) -> str | Finding:
    settings = sink_settings(config, {})
    check_sink(spec, settings)
    if not is_broker(spec):
        return look_at_file(spec.partition(":")[2])
    line = line_to(spec, settings)
    answer = probe(line)
    if isinstance(answer, str):
        return f"{line.address} lets us in, by {answer}; what its rules let us publish is not tried"
    if answer.how is How.REFUSED and line.address.user and line.password is None:
        remedy = "check it as the unit, which has it as a credential (docs/operate.md), or set mqtt.password_file"
        return doubtful("sink", str(line.address), f"{line.address} is there, but no password is known here", remedy)
    kind = Refused if answer.how is How.REFUSED else Unavailable
    raise kind(f"{line.address}: {answer.what}", answer.remedy)


def look_at_file(target: str) -> str:
    folder = Path(target).absolute().parent
    if target != "-" and not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{target} cannot be made in {folder}", "make that folder, or choose another place")
    if os.path.exists(target) and not os.access(target, os.W_OK):  # noqa: PTH110 - as the sink asks it
        raise OutputError(
            f"{target} may not be written by this user", "change its permissions, or choose another place"
        )
    return f"{'stdout' if target == '-' else target} can be written"
