"""Events on disk until the broker has acknowledged them: ``outbox.sqlite`` under the state folder."""

from edge.outbox.outbox import FILE, RETRY_S, Limits, Loss, Outbox, Waiting, open_outbox
from edge.outbox.store import is_sound

__all__ = ["FILE", "RETRY_S", "Limits", "Loss", "Outbox", "Waiting", "is_sound", "open_outbox"]
