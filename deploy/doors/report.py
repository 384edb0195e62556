"""What is said at the end: one table for people, one object for machines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deploy.doors.steps import Outcome

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class DoorReport:
    """error: why it ended early, else empty. status, findings: what the daemon and ``edge check`` say, where asked."""

    door: str
    outcomes: Sequence[Outcome] = ()
    error: str = ""
    detail: str = ""
    exit_code: int = 0
    status: dict[str, Any] | None = None
    findings: Sequence[dict[str, Any]] = ()

    @property
    def changed(self) -> int:
        return sum(outcome.state in ("done", "to do") for outcome in self.outcomes)

    def result(self) -> str:
        if self.error:
            return "failed"
        return str(self.status["status"]) if self.status else "done"

    def says(self) -> str:
        if self.error:
            return self.error
        wrong = [f"{one['which']}: {one['what']}" for one in self.findings if one["level"] == "error"]
        status = self.status
        if status is None:
            return "; ".join(wrong)
        words = [", ".join(status.get("reasons") or ()), f"{status['fps']} frames/s", str(status["model"])]
        if status.get("last_ack_s") is not None:
            words.append(f"broker acknowledged {status['last_ack_s']} s ago")
        return "; ".join(word for word in (*words, *wrong) if word)


def table(reports: Sequence[DoorReport], is_dry: bool) -> str:
    changed = "to change" if is_dry else "changed"
    rows = [("door", changed, "result", "it says")]
    rows += [(one.door, str(one.changed), one.result(), one.says()) for one in reports]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join((*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[3])).rstrip()
        for row in rows
    )


def as_json(reports: Sequence[DoorReport]) -> str:
    doors = [
        {
            "door": one.door,
            "changed": one.changed,
            "result": one.result(),
            "exit_code": one.exit_code,
            "error": one.error,
            "steps": [dataclasses.asdict(outcome) for outcome in one.outcomes],
            "status": one.status,
            "findings": list(one.findings),
        }
        for one in reports
    ]
    return json.dumps({"v": SCHEMA, "doors": doors}, indent=2)
