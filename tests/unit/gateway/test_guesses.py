"""Wrong keys: counted by address, in a table that does not grow."""

import pytest

from backend.gateway.errors import RateLimited
from backend.gateway.rates import guesses
from backend.gateway.rates.guesses import GUESSES_PER_MINUTE, Guesses, network_of


class Clock:
    ms = 0

    def __call__(self) -> int:
        return self.ms


def exhausted(clock: Clock, address: str) -> Guesses:
    found = Guesses(clock)
    for _ in range(GUESSES_PER_MINUTE):
        found.check(address)
        found.wrong(address)
    return found


def test_an_address_that_guessed_too_often_waits_and_others_do_not() -> None:
    clock = Clock()
    found = exhausted(clock, "192.0.2.1")
    with pytest.raises(RateLimited) as refused:
        found.check("192.0.2.1")
    assert (refused.value.code, refused.value.field, refused.value.retry_after_s) == (
        "rate_limited",
        "Authorization",
        1,
    )
    found.check("192.0.2.2")
    clock.ms += 60_000 // GUESSES_PER_MINUTE
    found.check("192.0.2.1")


def test_asking_whether_one_may_guess_costs_nothing() -> None:
    found = Guesses(Clock())
    found.wrong("192.0.2.1")
    for _ in range(2 * GUESSES_PER_MINUTE):
        found.check("192.0.2.1")


def test_an_ipv6_network_is_one_guesser() -> None:
    found = exhausted(Clock(), "2001:db8:1:2::1")
    with pytest.raises(RateLimited):
        found.check("2001:db8:1:2:ffff::9")
    found.check("2001:db8:1:3::1")
    assert network_of("testclient") == "testclient"
    assert network_of("not:an:address") == "not:an:address"


def test_the_table_forgets_who_guessed_longest_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "ADDRESSES_MAX", 10)
    found = exhausted(Clock(), "192.0.2.1")
    for n in range(20):
        found.wrong(f"198.51.100.{n}")
        assert len(found._buckets) <= 10
    found.check("192.0.2.1")
