"""Depth of a market as everybody may see it: slots in bands of price around the spot price, never a single quote."""

from collections.abc import Sequence
from dataclasses import dataclass

EDGES_PPM = (500_000, 1_000_000, 2_000_000)  # upper edges of all bands but the last, as shares of the spot price
BANDS = len(EDGES_PPM) + 1
PARTIES_MIN = 3  # of two, each could read off the other's quotes


@dataclass(frozen=True, slots=True)
class Crowd:
    """Accounts that quote in the same set of bands: `mask` has bit b set for band b; slots in each band together."""

    mask: int
    accounts: int
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Band:
    """Slots quoted above one share of the spot price and up to another, both in parts per million.

    No edge means no bound; no slots means that somebody quotes there, but fewer than PARTIES_MIN accounts.
    """

    above_ppm: int | None
    up_to_ppm: int | None
    slots: int | None


def sealed(crowds: Sequence[Crowd]) -> tuple[Band, ...]:
    """One side of a market in bands that are empty or have PARTIES_MIN accounts; too small ones join a neighbour.

    Accounts are counted, not quotes: somebody with many quotes is still one who could be read. All bands together
    hold every slot, so that what one hides can not be told from the rest.
    """
    spans: list[tuple[int, int]] = []
    first = 0
    for last in range(BANDS):
        accounts = _accounts(crowds, first, last)
        if accounts == 0 or accounts >= PARTIES_MIN:
            spans.append((first, last))
            first = last + 1
    if first < BANDS:  # what is left over has nobody above it
        while spans and _accounts(crowds, first, BANDS - 1) < PARTIES_MIN:
            first = spans.pop()[0]
        spans.append((first, BANDS - 1))
    return tuple(_band(crowds, first, last) for first, last in spans)


def _accounts(crowds: Sequence[Crowd], first: int, last: int) -> int:
    span = sum(1 << band for band in range(first, last + 1))
    return sum(crowd.accounts for crowd in crowds if crowd.mask & span)


def _band(crowds: Sequence[Crowd], first: int, last: int) -> Band:
    few = 0 < _accounts(crowds, first, last) < PARTIES_MIN
    return Band(
        EDGES_PPM[first - 1] if first else None,
        EDGES_PPM[last] if last < BANDS - 1 else None,
        None if few else sum(sum(crowd.slots[first : last + 1]) for crowd in crowds),
    )
