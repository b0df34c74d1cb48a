"""A process of its own that builds a large book from rows as storage gives them, and prints the megabytes that it took.

`python -m tests.performance.book_memory ORDERS OFFERS`: peak of the resident memory, rows and the book's clearing
included, less what the process had after its imports.
"""

import gc
import random
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from backend.domain.auctions import Ask, Bid, Book, clear
from backend.domain.ids import ModelId, NodeId, OfferId, OrderId
from backend.domain.machines import Machine

SEED = 4
OPENED_AT = datetime(2026, 1, 1, tzinfo=UTC)
SPOT_NANO = 1_000_000
PRICE_MAX_NANO = 2 * SPOT_NANO
SLOTS_MAX = 4
MODELS = 20
TIERS = 4


def rows(orders: int, offers: int, cached: bool = True) -> tuple[list[Bid], list[Ask]]:
    """Alike slots at random prices, each row with ids, times and numbers of its own, as from a database.

    Unless `cached`, no node has any model yet.
    """
    dice = random.Random(SEED)

    def number() -> UUID:
        return UUID(int=dice.getrandbits(128))

    def bid(second: int) -> Bid:
        return Bid(
            OrderId(number()),
            dice.randint(1, SLOTS_MAX),
            dice.randint(1, PRICE_MAX_NANO),
            dice.randrange(TIERS),
            OPENED_AT + timedelta(seconds=second),
            share_ppm=dice.randrange(1_000_000),
            model_id=ModelId(UUID(int=dice.randrange(MODELS))),
        )

    def ask() -> Ask:
        node_id, slots = NodeId(number()), dice.randint(1, SLOTS_MAX)
        models = [ModelId(UUID(int=dice.randrange(MODELS)))] if cached else []
        machine = Machine(node_id, slots, models=frozenset(models))
        return Ask(OfferId(number()), node_id, 1, slots, dice.randint(1, PRICE_MAX_NANO), machine)

    return [bid(second) for second in range(orders)], [ask() for _ in range(offers)]


def main(arguments: Sequence[str]) -> None:
    """Build the book, clear it, and print the peak."""
    orders, offers = map(int, arguments)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _kilobytes("VmRSS")
    bids, asks = rows(orders, offers)
    book = Book.of(bids, asks, SPOT_NANO, OPENED_AT)
    assert len(clear(book).trades) > 0
    assert len(book.bids) == orders
    sys.stdout.write(f"{(_kilobytes('VmHWM') - before) / 1_000:.1f}\n")


def _kilobytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    main(sys.argv[1:])
