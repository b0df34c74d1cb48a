"""A simulated day: the same for the same seed, no slot made or lost, and a price that does what it is there for."""

from dataclasses import asdict, fields, replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.auctions import MECHANISMS
from backend.domain.money import PPM
from backend.domain.pricing import STEP_MAX_PPM, TARGET_UTILISATION_PPM
from backend.domain.simulation import HOUR_S, Day, Series, Simulation, Surge, simulate, spans
from backend.domain.simulation.draws import (
    BASE_NANO,
    OVER_BASE_MAX,
    RUN_OVER_MEAN_MAX,
    SEGMENTS,
    draw_asks,
    draw_demand,
)
from backend.domain.simulation.outcome import share_ppm
from backend.domain.simulation.play import best_welfare
from tests.unit.domain.refusals import refusal

SHORT = Day(hours=2, step_s=60, orders_per_hour=300, nodes=6)
STEADY = Day(hours=8, step_s=30, orders_per_hour=3_600, nodes=120, swing=0)

days = st.builds(
    Day,
    hours=st.integers(1, 3),
    step_s=st.sampled_from([60, 77, 300]),
    orders_per_hour=st.integers(1, 400),
    nodes=st.integers(1, 8),
    slots=st.integers(1, 5),
    mechanism=st.sampled_from(sorted(MECHANISMS)),
    peak_hour=st.integers(0, 23),
    swing=st.floats(0, 1),
    surge=st.none() | st.builds(Surge, st.integers(0, HOUR_S), st.integers(0, 900), st.integers(1, 10)),
)


def play(day: Day, seed: int = 1) -> Simulation:
    """The day of that seed."""
    return simulate(day, np.random.default_rng(seed))


def columns(simulation: Simulation) -> dict[str, list[int]]:
    """The series as plain lists."""
    return {field.name: getattr(simulation.series, field.name).tolist() for field in fields(Series)}


@pytest.mark.parametrize("mechanism", sorted(MECHANISMS))
def test_the_same_seed_gives_the_same_day_and_another_one_another(mechanism: str) -> None:
    day = replace(SHORT, mechanism=mechanism)
    first, again, other = play(day), play(day), play(day, seed=2)
    assert (columns(first), first.totals) == (columns(again), again.totals)
    assert columns(first) != columns(other)


@settings(max_examples=30)
@given(days, st.integers(0, 99))
def test_no_slot_is_made_or_lost(day: Day, seed: int) -> None:
    done = play(day, seed)
    s, totals = done.series, done.totals
    assert totals.arrived_slots == totals.traded_slots + totals.expired_slots + totals.waiting_slots
    waiting = np.cumsum(s.arrived_slots - s.traded_slots - s.expired_slots)
    assert s.waiting_slots.tolist() == waiting.tolist()
    assert totals.waiting_slots == waiting[-1]
    assert (s.busy_slots >= s.traded_slots).all()  # whatever trades runs for a step at least
    assert (s.busy_slots <= day.slots_all).all()
    assert (s.busy_slots[1:] <= s.busy_slots[:-1] + s.traded_slots[1:]).all()
    for name in ("orders", "arrived_slots", "traded_slots", "expired_slots"):
        assert sum(getattr(tier, name) for tier in totals.tiers) == getattr(totals, name)


@settings(max_examples=30)
@given(days, st.integers(0, 99))
def test_nobody_reaches_more_than_the_optimum_and_the_market_never_pays_on_top(day: Day, seed: int) -> None:
    done = play(day, seed)
    s, totals = done.series, done.totals
    assert (s.welfare_nano_per_s >= 0).all()
    assert (s.welfare_nano_per_s <= s.optimum_nano_per_s).all()
    assert totals.surplus_nano <= totals.surplus_max_nano
    assert totals.welfare_ppm <= PPM
    assert (s.spent_nano >= s.earned_nano).all()
    if day.mechanism == "uniform":
        assert totals.spent_nano == totals.earned_nano
    assert (np.abs(np.diff(s.spot_nano)) <= s.spot_nano[:-1] * STEP_MAX_PPM // PPM + 1).all()


def test_the_uniform_auction_reaches_the_optimum_and_the_truthful_one_most_of_it() -> None:
    uniform, truthful = (play(replace(STEADY, hours=2, mechanism=name)).totals for name in ("uniform", "mcafee"))
    assert uniform.welfare_ppm > 999_000  # all but thin books, which trade at the spot price
    assert 500_000 < truthful.welfare_ppm < uniform.welfare_ppm
    assert truthful.spent_nano > truthful.earned_nano


def test_in_steady_demand_utilisation_stays_about_its_target() -> None:
    found = [span.utilisation_ppm for span in spans(play(STEADY), HOUR_S)[2:]]
    assert np.mean(found) == pytest.approx(TARGET_UTILISATION_PPM, rel=0.05)
    assert min(found) > 0.9 * TARGET_UTILISATION_PPM
    assert max(found) < 1.1 * TARGET_UTILISATION_PPM


def test_a_market_with_little_demand_costs_its_lowest_ask() -> None:
    quiet = play(Day(hours=1, step_s=30, orders_per_hour=20, nodes=40))
    assert set(quiet.series.spot_nano.tolist()) == {int(draw_asks(quiet.day, np.random.default_rng(1)).min())}


def test_a_tenfold_surge_raises_the_price_and_the_market_recovers_from_it() -> None:
    starts_s = 4 * HOUR_S
    calm, surged = play(STEADY), play(replace(STEADY, surge=Surge(starts_s, lasts_s=900)))
    before, during, after = (
        np.mean([span.spot_nano for span in spans(surged, 900)[first : first + 4]]) for first in (12, 16, 24)
    )
    peak = surged.series.spot_nano.max()
    assert peak > 1.5 * before
    assert during > 1.15 * before
    assert after == pytest.approx(before, rel=0.15)
    back = spans(surged, HOUR_S)[-1]
    assert back.utilisation_ppm == pytest.approx(TARGET_UTILISATION_PPM, rel=0.1)
    assert back.waiting_slots < 2 * spans(calm, HOUR_S)[-1].waiting_slots
    first = starts_s // STEADY.step_s
    assert surged.series.orders[first : first + 30].sum() > 8 * calm.series.orders[first : first + 30].sum()


def test_demand_is_highest_at_its_peak_hour_and_as_much_as_was_asked_for() -> None:
    day = Day(step_s=60, orders_per_hour=500, nodes=1, peak_hour=9)
    by_hour = [span.orders for span in spans(play(day), HOUR_S)]
    assert len(by_hour) == 24
    assert sum(by_hour) == pytest.approx(24 * 500, rel=0.03)
    assert by_hour[9] == pytest.approx(500 * (1 + day.swing), rel=0.15)
    assert by_hour[21] == pytest.approx(500 * (1 - day.swing), rel=0.25)


def test_orders_are_drawn_within_what_their_tier_asks_for() -> None:
    day = Day(hours=4, step_s=60, orders_per_hour=2_000)
    demand = draw_demand(day, np.random.default_rng(3))
    for number, segment in enumerate(SEGMENTS):
        mine = demand.segment == number
        assert mine.mean() == pytest.approx(segment.share, abs=0.03)
        assert (demand.slots[mine].min(), demand.slots[mine].max()) == (1, segment.slots_max)
        assert np.median(demand.value_nano[mine]) == pytest.approx(segment.value * BASE_NANO, rel=0.1)
        assert demand.runs[mine].min() >= 1
        assert demand.runs[mine].max() * day.step_s <= RUN_OVER_MEAN_MAX * segment.run_s + day.step_s
    assert demand.value_nano.max() <= OVER_BASE_MAX * BASE_NANO
    assert sum(segment.share for segment in SEGMENTS) == pytest.approx(1)


def test_urgent_tiers_wait_less_than_patient_ones() -> None:
    small, *_, enterprise = play(replace(STEADY, hours=2)).totals.tiers
    assert small.wait_s is not None
    assert enterprise.wait_s is not None
    assert enterprise.wait_s < small.wait_s


def test_a_day_without_an_order_is_a_day() -> None:
    done = play(Day(hours=1, step_s=300, orders_per_hour=1, nodes=2, swing=1, peak_hour=12))
    totals = done.totals
    assert (totals.orders, totals.unserved_ppm, totals.welfare_ppm, totals.surplus_max_nano) == (0, 0, PPM, 0)
    assert {tier.wait_s for tier in totals.tiers} == {None}
    assert [span.price_nano for span in spans(done, HOUR_S)] == [None]


def test_spans_hold_all_steps_however_they_are_cut() -> None:
    done = play(replace(SHORT, step_s=77))
    whole, *rest = spans(done, SHORT.seconds)
    assert rest == []
    for span_s in (100, 600, 3_601):
        parts = spans(done, span_s)
        for name in ("orders", "traded_slots", "expired_slots", "welfare_nano_per_s", "optimum_nano_per_s"):
            assert sum(getattr(part, name) for part in parts) == getattr(whole, name)
        assert [part.starts_s % span_s for part in parts] == [0] * len(parts)
    assert whole.price_nano == done.series.paid_nano_per_s.sum() // done.series.traded_slots.sum()
    assert whole.utilisation_ppm == done.totals.utilisation_ppm
    assert whole.waiting_slots == done.series.waiting_slots.sum() // done.day.steps
    assert whole.spot_nano == done.series.spot_nano.sum() // done.day.steps


def test_each_step_is_told() -> None:
    told: list[int] = []
    simulate(SHORT, np.random.default_rng(1), told.append)
    assert told == list(range(1, SHORT.steps + 1))


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 2)), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 2)), min_size=1, max_size=3),
)
def test_the_best_welfare_is_that_of_the_best_of_all_matchings(
    bids: list[tuple[int, int]], asks: list[tuple[int, int]]
) -> None:
    limits = [limit for limit, slots in bids for _ in range(slots)]
    prices = [price for price, slots in asks for _ in range(slots)]
    short, long = sorted((limits, prices), key=len)
    sign = 1 if short is limits else -1
    best = max(
        sum(max(0, sign * (a - b)) for a, b in zip(short, some, strict=True))
        for some in set(permutations(long, len(short)))
    )
    (limit, wanted), (ask, offered) = np.array(bids).T, np.array(asks).T
    assert best_welfare(limit, wanted, ask, offered) == best


def test_a_share_of_nothing_is_all_of_it() -> None:
    assert (share_ppm(0, 0), share_ppm(1, 4)) == (PPM, 250_000)


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"hours": 0}, "hours"),
    ({"hours": 169}, "hours"),
    ({"step_s": 4}, "step"),
    ({"step_s": 301}, "step"),
    ({"orders_per_hour": 0}, "orders_per_hour"),
    ({"orders_per_hour": 10**30}, "orders_per_hour"),
    ({"hours": 24, "orders_per_hour": 100_000}, "orders_per_hour"),
    ({"nodes": 0}, "nodes"),
    ({"nodes": 2_001}, "nodes"),
    ({"slots": 0}, "slots"),
    ({"slots": 257}, "slots"),
    ({"peak_hour": 24}, "peak_hour"),
    ({"swing": -0.1}, "swing"),
    ({"swing": 1.1}, "swing"),
    ({"swing": float("nan")}, "swing"),
    ({"mechanism": "vickrey"}, "mechanism"),
    ({"surge": Surge(0, 60, 101)}, "surge"),
    ({"surge": Surge(-1, 60)}, "surge_starts_s"),
    ({"surge": Surge(0, 10**6)}, "surge_lasts_s"),
]


@pytest.mark.parametrize(("wrong", "field"), REFUSED)
def test_a_day_that_cannot_be_is_refused_with_the_field_at_fault(wrong: dict[str, object], field: str) -> None:
    error = refusal(lambda: Day(**wrong))  # type: ignore[arg-type]  # that is the point
    assert (error.code, error.field) == (f"invalid_{field}", field)
    assert error.accepted


def test_what_is_accepted_instead_of_too_many_orders_is_accepted() -> None:
    wrong = {"orders_per_hour": 150_000, "surge": Surge(HOUR_S, 900)}
    error = refusal(lambda: Day(**wrong))  # type: ignore[arg-type]  # as above
    most = int((error.accepted or "").split()[2].replace(",", ""))
    assert asdict(Day(**{**wrong, "orders_per_hour": most}))["orders_per_hour"] == most  # type: ignore[arg-type]  # as above
    refusal(lambda: Day(**{**wrong, "orders_per_hour": most + 10}))  # type: ignore[arg-type]  # as above
