"""What became of real-time requests to nodes that cannot be dialled, as far as this process had a hand in it."""

from dataclasses import dataclass


@dataclass(slots=True)
class MailCounts:
    """Since the start; counted in the event loop, read from any thread."""

    left: int = 0  # for nodes to fetch
    refused: int = 0  # since too many waited for the node already
    fetched: int = 0  # by polls that came to this process, whoever had left them
    returned: int = 0  # of those, since the poll had left
    answered: int = 0
    withdrawn: int = 0  # never fetched: it has not run
    lost: int = 0  # fetched, and never answered
    deserted: int = 0  # by their clients
