"""Events on disk until the broker has acknowledged them: ``outbox.sqlite`` under the state folder."""

from edge.outbox.outbox import RETRY_S, Limits, Loss, Outbox, Waiting, open_outbox

__all__ = ["RETRY_S", "Limits", "Loss", "Outbox", "Waiting", "open_outbox"]
