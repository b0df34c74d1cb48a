"""Which winner gets which of the slots that were won, where all cost the same: models go where their file is already.

Prices and who trades are decided before; this only saves time. Orders that care for latency choose first, and of what
the models leave, nodes near their users first.
"""

import numpy as np

from backend.domain.auctions.book import Book, Ints
from backend.domain.auctions.crossing import Crossing, cross
from backend.domain.orders import Strategy

_EAGER = {Strategy.LATENCY: 0, Strategy.BALANCED: 1, Strategy.COST: 2}


def pair_up(book: Book, won: Crossing) -> Crossing:
    """The same slots of the same bids and asks (rows of the book), in other pairs; as they come if all nodes are alike.

    One pass for each model that some node has and some winner wants, one for the rest.
    """
    latency_ms, holders = book.locality
    if latency_ms is None:
        return won
    wanted = np.bincount(won.bid, won.slots, len(book.bids)).astype(np.int64)
    offered = np.bincount(won.ask, won.slots, len(book.asks)).astype(np.int64)
    kinds = book.bids.kinds
    eager = np.array([_EAGER[kind.strategy] for kind in kinds], np.int64)[book.bids.kind]
    bids = np.lexsort((np.arange(len(eager)), eager))
    asks = np.lexsort((np.arange(len(latency_ms)), latency_ms))
    parts = []
    for model in dict.fromkeys(kind.model_id for kind in kinds if kind.model_id):
        if model not in holders:
            continue
        wants = np.array([kind.model_id == model for kind in kinds], bool)[book.bids.kind]
        parts.append(_match(bids[wants[bids]], asks[holders[model][asks]], wanted, offered))
    parts.append(_match(bids, asks, wanted, offered))
    return Crossing(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _match(bids: Ints, asks: Ints, wanted: Ints, offered: Ints) -> Crossing:
    """Pair these in order until one side has nothing left; takes from both arrays."""
    bids, asks = bids[wanted[bids] > 0], asks[offered[asks] > 0]
    free = np.zeros(max(len(bids), len(asks)), np.int64)
    pieces = cross(free[: len(bids)], wanted[bids], free[: len(asks)], offered[asks])
    found = Crossing(bids[pieces.bid], asks[pieces.ask], pieces.slots)
    np.subtract.at(wanted, found.bid, found.slots)
    np.subtract.at(offered, found.ask, found.slots)
    return found
