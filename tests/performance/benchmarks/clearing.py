"""Milliseconds in which a book of alike slots clears, beside bare sorting and crossing; and a large book's memory."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np

from backend.domain.auctions import Book, clear
from tests.performance import book_memory
from tests.performance.bench import Bench
from tests.performance.rows import Row, Target

ORDERS = OFFERS = 10_000
CLEARINGS = 15  # a measurement
LARGE_ORDERS, LARGE_OFFERS = 100_000, 10_000
MEMORY_TIMEOUT_S = 60
BARE = "ms, NumPy's argsort of both sides and a searchsorted where they cross, no trades"


def run(bench: Bench) -> Iterator[Row]:
    """From columns to trades in columns; then also row by row with everybody's reasons; then memory."""
    book = _book(cached=False)
    crossed = int(clear(book).trades.slots.sum())
    assert abs(crossed - _bare(book)) <= book_memory.SLOTS_MAX, "both find the same crossing"
    pairs = bench.pairs(lambda: _milliseconds(lambda: clear(book)), lambda: _milliseconds(lambda: _bare(book)))
    for name, target in (
        ("uniform_clearing", Target("value", "≤", 20)),
        ("uniform_clearing_overhead", Target("ratio", "≤", 4)),
    ):
        yield Row(name, pairs.value, "ms", BARE, pairs.reference_value, pairs.ratio, target)
    local = _book(cached=True)
    rows = _milliseconds(lambda: clear(local))
    bench.step()
    yield Row(
        "uniform_clearing_local",
        rows,
        "ms, models paired with nodes that have them",
        "uniform_clearing",
        pairs.value,
        rows / pairs.value,
    )
    rows = _milliseconds(lambda: _row_by_row(book))
    bench.step()
    yield Row("uniform_clearing_rows", rows, "ms", "uniform_clearing", pairs.value, rows / pairs.value)
    memory = median(_memory() for _ in range(3))
    bench.step()
    yield Row("book_memory", memory, "MB", "of 100,000 orders, with the rows", None, None, Target("value", "≤", 200))


def _book(cached: bool) -> Book:
    rows = book_memory.rows(ORDERS, OFFERS, cached)
    return Book.of(*rows, book_memory.SPOT_NANO, book_memory.OPENED_AT)


def _milliseconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(CLEARINGS):
        action()
    return (time.perf_counter() - started) / CLEARINGS * 1_000


def _row_by_row(book: Book) -> int:
    clearing = clear(book)
    return len(clearing.fills) + len(clearing.unmatched)


def _bare(book: Book) -> int:
    """Slots up to the end of the last order whose last slot is still covered."""
    bids, asks = book.bids, book.asks
    buyers, sellers = np.argsort(-bids.limit_nano), np.argsort(asks.ask_nano)
    wanted, offered = np.cumsum(bids.slots[buyers]), np.cumsum(asks.slots[sellers])
    last = np.minimum(np.searchsorted(offered, wanted), len(sellers) - 1)
    covered = int(np.count_nonzero(bids.limit_nano[buyers] >= asks.ask_nano[sellers][last]))
    return int(wanted[covered - 1]) if covered else 0


def _memory() -> float:
    """Megabytes, measured in a process of its own."""
    command = [sys.executable, "-m", "tests.performance.book_memory", str(LARGE_ORDERS), str(LARGE_OFFERS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=MEMORY_TIMEOUT_S)
    return float(done.stdout)
