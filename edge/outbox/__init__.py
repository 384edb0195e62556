"""Events on disk until the broker has acknowledged them: ``outbox.sqlite`` under the state folder."""

from edge.outbox.outbox import Limits, Loss, Outbox, Waiting, open_outbox

__all__ = ["Limits", "Loss", "Outbox", "Waiting", "open_outbox"]
