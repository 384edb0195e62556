"""Puts events into the outbox in a folder until it is killed; says each number that the outbox has taken.

python writer.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from edge.outbox import open_outbox

outbox = open_outbox(Path(sys.argv[1]))
while True:
    seq = outbox.last_seq + 1
    outbox.put(seq, f"{outbox.epoch}:{seq}:".encode() + b"x" * 300)
    print(seq, flush=True)
    if seq % 3 == 0:  # as if a broker took some of them
        outbox.ack(seq - 2)
        print(f"-{seq - 2}", flush=True)
