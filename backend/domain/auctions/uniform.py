"""Uniform k-double auction: every trade of an epoch at one price between the marginal ask and the marginal bid.

Balanced and efficient under truthful bids, not truthful (Wilson 1985). Orders of several slots may be filled in part.
"""

from backend.domain.auctions.book import Ask, Bid, Book, Clearing, Fill, Unmatched
from backend.domain.money import PPM

K_PPM = 500_000  # the price splits the marginal gap in half


def clear_uniform(book: Book, _seed: int = 0, k_ppm: int = K_PPM) -> Clearing:
    """Trade the largest volume at which the marginal bid still covers the marginal ask.

    Price = ask + k (bid − ask) at the margin, rounded down. With fewer than two bids or asks there is no price to
    discover: trades happen at the spot price, where limit ≥ spot ≥ ask. It needs no lottery, hence no seed.
    """
    bids = sorted(book.bids, key=lambda b: (-b.limit_nano, b.rank, b.placed_at, b.order_id))
    asks = sorted((a for a in book.asks if a.slots > 0), key=lambda a: (a.ask_nano, a.offer_id))
    thin = len(bids) < 2 or len(asks) < 2
    if thin:
        tradable_bids = [b for b in bids if b.limit_nano >= book.spot_nano]
        tradable_asks = [a for a in asks if a.ask_nano <= book.spot_nano]
        pairs = _cross(tradable_bids, tradable_asks)
        price = book.spot_nano
    else:
        pairs = _cross(bids, asks)
        price = 0
        if pairs:
            bid, ask, _ = pairs[-1]
            price = ask.ask_nano + k_ppm * (bid.limit_nano - ask.ask_nano) // PPM
    matched = {bid.order_id for bid, _, _ in pairs}
    needed = max(asks[0].ask_nano, book.spot_nano if thin else 0) if asks else None
    return Clearing(
        price_nano=price if pairs else None,
        fills=tuple(Fill(bid, ask, slots, price) for bid, ask, slots in pairs),
        unmatched={b.order_id: _reason(b, needed, bool(pairs)) for b in bids if b.order_id not in matched},
    )


def _cross(bids: list[Bid], asks: list[Ask]) -> list[tuple[Bid, Ask, int]]:
    """Walk both sorted sides slot by slot until the next bid is below the next ask."""
    pairs: list[tuple[Bid, Ask, int]] = []
    b = a = 0
    bid_left = bids[0].slots if bids else 0
    ask_left = asks[0].slots if asks else 0
    while b < len(bids) and a < len(asks) and bids[b].limit_nano >= asks[a].ask_nano:
        slots = min(bid_left, ask_left)
        pairs.append((bids[b], asks[a], slots))
        bid_left -= slots
        ask_left -= slots
        if bid_left == 0:
            b += 1
            bid_left = bids[b].slots if b < len(bids) else 0
        if ask_left == 0:
            a += 1
            ask_left = asks[a].slots if a < len(asks) else 0
    return pairs


def _reason(bid: Bid, needed_nano: int | None, traded: bool) -> Unmatched:
    """The reason nearest to success; `needed_nano` is what a limit had to reach, None without any ask."""
    if needed_nano is None:
        return Unmatched.NO_CAPACITY
    if bid.limit_nano < needed_nano:
        return Unmatched.LIMIT_BELOW_MARKET
    return Unmatched.OUTBID if traded else Unmatched.NO_CAPACITY
