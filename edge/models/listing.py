"""What models are on this machine, and how they stand: for people a table, for machines one object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from edge.bundle import load_bundle
from edge.errors import DataError, EdgeError
from edge.models.signing import Signed, check_signature
from edge.models.store import Store, shipped, tag_of
from edge.models.trial import in_words, standing
from edge.third_party import is_present, listed, presence

SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class Listed:
    """One bundle. state: ``active``, ``previous``, ``shipped`` (it came with this version) or empty.

    is_usable, why: its hashes and values are right, and what is wrong with them or with the signature.
    signature: ``good``, ``unsigned``, ``unchecked`` (nobody said here who may sign) or ``refused``.
    """

    model: str
    path: str
    state: str
    is_on_trial: bool
    is_usable: bool
    signature: str
    signer: str
    why: str


def bundles(store: Store) -> Iterator[Listed]:
    """Installed ones, the latest first, then the one that came with this version."""
    trial = store.trial()
    active, previous = store.active(), store.previous()
    for tag in store.tags():
        state = "active" if tag == active else "previous" if tag == previous else ""
        is_on_trial = trial is not None and trial.is_open and trial.model == tag and state == "active"
        yield look_at(tag, store.path(tag), state, is_on_trial)
    if active and not store.path(active).is_dir():
        gone = f"{store.active_link} points to {active}, which is not there: put that bundle back, or remove the link"
        yield Listed(active, str(store.path(active)), "active", False, False, "unchecked", "", gone)
    yield look_at(None, shipped(), "shipped" if active else "shipped, active", False)


def look_at(tag: str | None, path: Path, state: str, is_on_trial: bool) -> Listed:
    signed, why, is_usable = Signed("unchecked"), "", False
    try:
        tag = tag or tag_of(path)
        found = load_bundle(path)
        if found.tag != tag:
            raise DataError(f"bundle {path} is {found.tag}", "install it under its own name")
        is_usable = True
        signed = check_signature(path) if path != shipped() else Signed("unchecked")
    except DataError as error:
        why = str(error)
        signed = Signed("refused") if is_usable else signed
    except EdgeError as error:  # this user, or this machine, cannot tell
        why = str(error)
    return Listed(tag or path.name, str(path), state, is_on_trial, is_usable, signed.state, signed.signer, why)


def as_object(store: Store) -> dict[str, Any]:
    trial = store.trial()
    return {
        "v": SCHEMA,
        "folder": str(store.folder),
        "active": store.active(),
        "previous": store.previous(),
        "trial": standing(trial) if trial else None,
        "models": [asdict(one) for one in bundles(store)],
        "detectors": [{"name": name, "is_present": is_present(name)} for name in listed()],
    }


def as_rows(store: Store) -> Iterator[str]:
    for one in bundles(store):
        states = [
            one.state,
            "on trial" * one.is_on_trial,
            "" if one.is_usable and not one.why else f"not usable: {one.why}",
        ]
        signed = Signed(one.signature, one.signer).in_words()
        yield f"{one.model}\tclassifier\t{', '.join(filter(None, states)) or 'installed'}\t{signed}\t{one.path}"
    for name, item in listed().items():
        yield f"{name}\tdetector\t{presence(name)}\t{item.what}"
    if trial := store.trial():
        yield f"trial\t{in_words(standing(trial))}"
