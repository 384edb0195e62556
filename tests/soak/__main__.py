"""``python -m tests.soak``: the long one. Prints what came of it; the exit code is 1 where something is wrong."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.soak.run import soak

LIMIT_KIB = 10.0  # for 1,000 frames


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.soak", description=__doc__)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--every", type=int, default=5_000, help="frames between two faults")
    parser.add_argument("--seed", type=int, default=20261125)
    parser.add_argument(
        "--longest-s", type=float, default=75.0, help="of a fault: over a minute, acknowledgements are overdue"
    )
    parser.add_argument("--samples", type=Path, metavar="FILE", help="write every sample, as CSV")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    report = soak(args.frames, args.every, args.seed, longest_s=args.longest_s)
    if args.samples:
        lines = [f"{one.frame},{one.rss_kib},{one.fds},{one.threads}" for one in report.samples]
        args.samples.write_text("\n".join(["frame,rss_kib,fds,threads", *lines]) + "\n")
    print(report)
    problems = report.problems(LIMIT_KIB)
    for problem in problems:
        print(f"WRONG: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
