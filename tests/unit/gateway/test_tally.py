"""A session's running totals: of a fixed size, and a snapshot of them does not change any more."""

import random

from backend.domain.sla import BUCKET_BOUNDS_MS, Histogram, Measured
from backend.gateway.leases.tally import Tally


def test_requests_are_counted_by_outcome_and_latency() -> None:
    tally = Tally()
    assert tally.total() == Measured()
    latencies = [0.2, 1.0, 1.01, 99.9, 100.0, 100.1, 10.0**12]
    for latency in latencies:
        tally.served(latency)
    tally.failed()
    tally.failed()
    total = tally.total()
    assert (total.requests, total.failures) == (len(latencies) + 2, 2)
    assert total.latencies == Histogram.of([1, 1, 2, 100, 100, 120, 10**12])


def test_a_total_that_was_handed_over_stays_what_it_was() -> None:
    tally = Tally()
    tally.served(5)
    before = tally.total()
    tally.served(5)
    tally.failed()
    assert (before.requests, tally.total().requests) == (1, 3)
    assert tally.total().since(before) == Measured(Histogram.of([5]), 1)


def test_any_number_of_requests_takes_the_same_room() -> None:
    tally, dice = Tally(), random.Random(1)
    for _ in range(10_000):
        tally.served(dice.uniform(0, 10_000))
    assert len(tally.total().latencies.counts) == len(BUCKET_BOUNDS_MS)
    assert tally.total().requests == 10_000
