"""What ``edge check`` found: for people as a table, for machines as JSON, for scripts as an exit code."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from edge.errors import (
    ConfigError,
    DataError,
    DiskError,
    EdgeError,
    InputMissing,
    OutputError,
    Refused,
    Unavailable,
    Undelivered,
    one_line,
)

SCHEMA: Final = 1  # docs/schema/check-v1.json
Part = Literal["config", "clock", "model", "detector", "state", "camera", "sink"]
Level = Literal["ok", "warning", "error"]
# First what keeps `edge run` from starting at all, last what it rides out by itself.
WORST_FIRST: Final = tuple(
    kind.exit_code
    for kind in (
        *(EdgeError, ConfigError, InputMissing, DataError, Refused),
        *(OutputError, DiskError, Unavailable, Undelivered),
    )
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    part: of the installation. which: the file, folder, address or key, without any password. what: how it is, in a
    sentence. remedy: what to do; empty where all is well. exit_code: of sysexits.h; 0 unless ``level`` is error.
    """

    part: Part
    which: str
    level: Level
    what: str
    remedy: str = ""
    exit_code: int = 0


def well(part: Part, which: str, what: str) -> Finding:
    return Finding(part, which, "ok", what)


def doubtful(part: Part, which: str, what: str, remedy: str) -> Finding:
    """A warning: it works, or may work, but somebody should know."""
    return Finding(part, which, "warning", what, remedy)


def wrong(part: Part, which: str, error: EdgeError, remedy: str) -> Finding:
    """An error as a finding. ``remedy`` stands in where the error has none of its own."""
    return Finding(part, which, "error", error.what, error.remedy or remedy, error.exit_code)


def worst(findings: Iterable[Finding]) -> int:
    """The exit code of the worst finding; 0 where nothing is an error."""
    codes = {finding.exit_code for finding in findings} - {0}
    return min(codes, key=_rank, default=0)


def _rank(code: int) -> int:
    return WORST_FIRST.index(code) if code in WORST_FIRST else -1


def as_row(finding: Finding) -> str:
    """A row of the table, and below it what to do."""
    remedy = f"\n{'':19}-> {one_line(finding.remedy)}" if finding.remedy else ""
    return f"{finding.level:7}  {finding.part:10}{one_line(finding.what)}{remedy}"


def as_json(findings: Sequence[Finding]) -> str:
    answer: dict[str, Any] = {
        "v": SCHEMA,
        "exit_code": worst(findings),
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
    return json.dumps(answer, ensure_ascii=False)


def summary(findings: Sequence[Finding]) -> str:
    """``all is well``, or how many errors and warnings there are."""
    count = {level: sum(f.level == level for f in findings) for level in ("error", "warning")}
    counted = [f"{n} {level}{'s' * (n != 1)}" for level, n in count.items() if n]
    return ", ".join(counted) or "all is well"
