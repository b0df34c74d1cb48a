"""The one entry to all mechanisms: `clear(book, mechanism, seed)` is pure and deterministic."""

from collections.abc import Callable, Mapping

from backend.domain.auctions.book import Book, Clearing
from backend.domain.auctions.uniform import clear_uniform
from backend.domain.errors import unknown_choice

Mechanism = Callable[[Book, int], Clearing]

MECHANISMS: Mapping[str, Mechanism] = {"uniform": clear_uniform}


def clear(book: Book, mechanism: str = "uniform", seed: int = 0) -> Clearing:
    """Match a book by the named mechanism; raises Invalid(`invalid_mechanism`)."""
    if mechanism not in MECHANISMS:
        raise unknown_choice("mechanism", mechanism, list(MECHANISMS))
    return MECHANISMS[mechanism](book, seed)
