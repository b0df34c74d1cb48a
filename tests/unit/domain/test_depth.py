"""Depth: every slot is in some band, and no band can be read as somebody's quote."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from backend.domain.depth import BANDS, EDGES_PPM, PARTIES_MIN, Band, Crowd, sealed

HALF, ONE, TWO = EDGES_PPM
quotes = st.lists(st.tuples(st.integers(0, 6), st.integers(0, BANDS - 1), st.integers(1, 9)), max_size=14)


def crowds_of(quoted: list[tuple[int, int, int]]) -> list[Crowd]:
    """The crowds of (account, band, slots)."""
    accounts: dict[int, list[int]] = {}
    for account, band, slots in quoted:
        accounts.setdefault(account, [0] * BANDS)[band] += slots
    crowds: dict[int, Crowd] = {}
    for held in accounts.values():
        mask = sum(1 << band for band in range(BANDS) if held[band])
        before = crowds.get(mask, Crowd(mask, 0, (0,) * BANDS))
        summed = tuple(a + b for a, b in zip(before.slots, held, strict=True))
        crowds[mask] = Crowd(mask, before.accounts + 1, summed)
    return list(crowds.values())


def span_of(band: Band) -> range:
    """The plain bands that a shown one stands for."""
    first = 0 if band.above_ppm is None else EDGES_PPM.index(band.above_ppm) + 1
    last = BANDS - 1 if band.up_to_ppm is None else EDGES_PPM.index(band.up_to_ppm)
    return range(first, last + 1)


@given(quotes)
def test_bands_cover_every_price_once_and_hold_all_slots(quoted: list[tuple[int, int, int]]) -> None:
    bands = sealed(crowds_of(quoted))
    assert [plain for band in bands for plain in span_of(band)] == list(range(BANDS))
    for band in bands:
        if band.slots is not None:
            assert band.slots == sum(slots for _, plain, slots in quoted if plain in span_of(band))


@given(quotes)
def test_a_shown_band_is_empty_or_has_three_accounts_and_only_a_market_of_fewer_shows_none(
    quoted: list[tuple[int, int, int]],
) -> None:
    bands = sealed(crowds_of(quoted))
    for band in bands:
        accounts = {account for account, plain, _ in quoted if plain in span_of(band)}
        if band.slots is None:
            assert 0 < len({account for account, *_ in quoted}) < PARTIES_MIN
            assert len(accounts) > 0
        else:
            assert band.slots == 0 or len(accounts) >= PARTIES_MIN


@given(quotes)
def test_bands_are_as_fine_as_they_may_be(quoted: list[tuple[int, int, int]]) -> None:
    """Where every band has three accounts or nobody, none is merged."""
    seen = Counter(plain for _, plain in {(account, plain) for account, plain, _ in quoted})
    if all(count >= PARTIES_MIN for count in seen.values()):
        assert len(sealed(crowds_of(quoted))) == BANDS


def test_bands_are_told_by_their_shares_of_the_spot_price() -> None:
    everywhere = Crowd(0b1111, 3, (1, 2, 3, 4))
    assert sealed([everywhere]) == (Band(None, HALF, 1), Band(HALF, ONE, 2), Band(ONE, TWO, 3), Band(TWO, None, 4))
    assert sealed([]) == (Band(None, HALF, 0), Band(HALF, ONE, 0), Band(ONE, TWO, 0), Band(TWO, None, 0))


def test_small_bands_join_the_next_above_or_below() -> None:
    low, high = Crowd(0b0001, 1, (5, 0, 0, 0)), Crowd(0b0010, 2, (0, 7, 0, 0))
    assert sealed([low, high]) == (Band(None, ONE, 12), Band(ONE, TWO, 0), Band(TWO, None, 0))
    many, few = Crowd(0b0001, 3, (5, 0, 0, 0)), Crowd(0b1000, 2, (0, 0, 0, 7))
    assert sealed([many, few]) == (Band(None, None, 12),)
    assert sealed([few]) == (Band(None, None, None),)
