"""What no auction may see is refused when the book is made, with the name of what is wrong; nothing is cleared."""

from typing import Any

import pytest

from backend.domain.auctions.book import SLOTS_MAX
from backend.domain.errors import Invalid
from backend.domain.money import AMOUNT_NANO_MAX
from tests.unit.domain.books import ask, bid, market
from tests.unit.domain.refusals import refusal

ROWS = market([bid(1, 9), bid(2, 8), bid(3, 7)], [ask(1, 3), ask(2, 4), ask(3, 5)])
NAN, INFINITE = float("nan"), float("inf")
NO_NUMBERS = [NAN, INFINITE, -INFINITE, 1.5]
HUGE = [2**63, 10**400]


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("limit", [0, -1, AMOUNT_NANO_MAX + 1, *HUGE, *NO_NUMBERS])
def test_a_limit_must_be_a_whole_amount_above_zero(limit: Any, index: int) -> None:
    error = refusal(lambda: ROWS.with_bid(index, limit_nano=limit).book)
    assert isinstance(error, Invalid)
    assert (error.code, error.field) == ("invalid_limit_nano", "limit_nano")
    assert error.accepted == f"1 to {AMOUNT_NANO_MAX}"


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("price", [0, -1, AMOUNT_NANO_MAX + 1, *HUGE, *NO_NUMBERS])
def test_an_ask_must_be_a_whole_amount_above_zero(price: Any, index: int) -> None:
    error = refusal(lambda: ROWS.with_ask(index, ask_nano=price).book)
    assert (error.code, error.field) == ("invalid_ask_nano", "ask_nano")
    assert error.accepted == f"1 to {AMOUNT_NANO_MAX}"


@pytest.mark.parametrize("slots", [0, -1, SLOTS_MAX + 1, *HUGE, *NO_NUMBERS])
def test_an_order_must_want_a_slot_or_more(slots: Any) -> None:
    error = refusal(lambda: ROWS.with_bid(1, slots=slots).book)
    assert (error.code, error.field, error.accepted) == ("invalid_slots", "slots", f"1 to {SLOTS_MAX}")


@pytest.mark.parametrize("slots", [-1, SLOTS_MAX + 1, *HUGE, *NO_NUMBERS])
def test_an_offer_cannot_have_less_than_no_slots(slots: Any) -> None:
    error = refusal(lambda: ROWS.with_ask(1, slots=slots).book)
    assert (error.code, error.field, error.accepted) == ("invalid_slots", "slots", f"0 to {SLOTS_MAX}")


@pytest.mark.parametrize("spot", [0, -1, AMOUNT_NANO_MAX + 1, *HUGE, *NO_NUMBERS])
def test_the_spot_price_must_be_a_whole_amount_above_zero(spot: Any) -> None:
    error = refusal(lambda: market(ROWS.bids, ROWS.asks, spot).book)
    assert (error.code, error.field) == ("invalid_spot_nano", "spot_nano")


@pytest.mark.parametrize("number", [*HUGE, *NO_NUMBERS])
@pytest.mark.parametrize("name", ["tier", "share_ppm"])
def test_places_in_line_must_be_whole_numbers(number: Any, name: str) -> None:
    error = refusal(lambda: ROWS.with_bid(1, **{name: number}).book)
    assert (error.code, error.field) == (f"invalid_{name}", name)


@pytest.mark.parametrize("version", [*HUGE, *NO_NUMBERS])
def test_versions_must_be_whole_numbers(version: Any) -> None:
    error = refusal(lambda: ROWS.with_ask(1, version=version).book)
    assert (error.code, error.field) == ("invalid_version", "version")


@pytest.mark.parametrize("mechanism", ["uniform", "mcafee"])
def test_the_largest_numbers_that_are_accepted_clear_without_overflow(mechanism: str) -> None:
    top = AMOUNT_NANO_MAX
    rows = market(
        [bid(1, top, slots=SLOTS_MAX), bid(2, top, slots=SLOTS_MAX), bid(3, top, slots=SLOTS_MAX)],
        [ask(1, 1, slots=SLOTS_MAX), ask(2, top - 1, slots=SLOTS_MAX), ask(3, top, slots=SLOTS_MAX)],
        top,
    )
    for fill in rows.clear(mechanism).fills:
        assert rows.ask_of(fill).ask_nano <= fill.earns_nano <= fill.pays_nano <= top
