"""The one entry to all mechanisms: `clear(book, mechanism, seed)` is pure and deterministic."""

from collections.abc import Callable, Mapping

from backend.domain.auctions.book import Book
from backend.domain.auctions.clearing import Clearing
from backend.domain.auctions.mcafee import clear_mcafee
from backend.domain.auctions.uniform import clear_uniform
from backend.domain.errors import unknown_choice

Mechanism = Callable[[Book, int], Clearing]

MECHANISMS: Mapping[str, Mechanism] = {"uniform": clear_uniform, "mcafee": clear_mcafee}
DEFAULT_MECHANISM = "uniform"
RULES = 2  # the version of everything that a clearing follows; a replay under other rules proves nothing


def clear(book: Book, mechanism: str = DEFAULT_MECHANISM, seed: int = 0) -> Clearing:
    """Match a book by the named mechanism; raises Invalid(`invalid_mechanism`)."""
    if mechanism not in MECHANISMS:
        raise unknown_choice("mechanism", mechanism, list(MECHANISMS))
    return MECHANISMS[mechanism](book, seed)
