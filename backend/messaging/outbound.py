"""What every bus does with events before they leave: each once, not too many, encoded, in frames."""

from collections.abc import Sequence

from backend.domain.events import Event
from backend.messaging.channels import channel_of
from backend.messaging.codec import encode
from backend.messaging.losses import Loss, Losses

PUBLISH_MAX = 1000  # events of one publish; of more, the oldest are dropped: they may wake whom a newer one wakes


def outbound(namespace: str, events: Sequence[Event], losses: Losses) -> list[tuple[str, bytes]]:
    """(channel, payload) of each distinct event; what cannot be sent is counted in `losses`."""
    distinct = list(dict.fromkeys(events)) if len(events) > 1 else events
    if (surplus := len(distinct) - PUBLISH_MAX) > 0:
        losses.add(Loss.SURPLUS, surplus)
        distinct = distinct[surplus:]
    lines = []
    for event in distinct:
        try:
            lines.append((channel_of(namespace, event), encode(event)))
        except ValueError:
            losses.add(Loss.UNENCODABLE)
    return lines
