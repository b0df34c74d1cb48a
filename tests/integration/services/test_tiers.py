"""The tiers: changed for a time to come, obeyed by what is placed after, and no business of what was placed before."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.budgets import Budget, BudgetPeriod
from backend.domain.errors import Forbidden, SwarmexError, Unavailable
from backend.domain.ids import AccountId
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.orders import OrderState, WorkloadRequest
from backend.domain.tier_changes import TierChanges
from backend.domain.tiers import TIERS, ResourceClass, Tier, TierName, TierVersion
from backend.services import budgets, log, orders, placement, sessions, tiers
from backend.services.orders import Refusal
from backend.storage.order_rows import Order
from tests.integration.services.clock import in_seconds
from tests.market import ASK, Market, Statements

ADMIN = Principal(None, AccountId(new_id()), Role.ADMIN)
MEDIUM = TIERS[TierName.MEDIUM]


def change(market: Market, tier: str = "medium", in_s: float | None = None, **changes: Any) -> TierVersion:
    """A change of a tier, by an admin."""
    since = None if in_s is None else in_seconds(in_s)
    return tiers.set_tier(market.app.uow(), utc_now(), ADMIN, tier, TierChanges(**changes), since)


def current(market: Market, in_s: float = 0) -> dict[TierName, Tier]:
    """The tiers as they are, or will be."""
    with market.app.uow() as uow:
        return uow.tiers.current(in_seconds(in_s))


def refused(market: Market, **request: object) -> Refusal:
    """Why an order of the buyer is not placed."""
    batch = orders.place_orders(market.app.uow(), utc_now(), market.buyer, [market.request(**request)])
    [result] = batch.results
    assert isinstance(result, Refusal)
    return result


def cap(market: Market, tier: str = "medium") -> Budget:
    """What the buyer is held to in a month, in a tier."""
    found = budgets.list_budgets(market.app.uow(), utc_now(), market.buyer.account_id)
    [budget] = [b for b in found if (b.account_id, b.period, b.tier) == (None, BudgetPeriod.MONTH, tier)]
    return budget


def told(market: Market) -> list[dict[str, Any]]:
    """What the audit log knows of changes, oldest first."""
    entries = log.list_entries(market.app.uow(), action="tier.")
    return [{"subject": entry.subject, **entry.details} for entry in reversed(entries)]


def test_a_market_is_born_with_the_tiers_of_its_constitution(market: Market) -> None:
    assert current(market) == TIERS
    assert list(current(market)) == list(TierName)
    listed = tiers.list_tiers(market.app.uow(), utc_now())
    assert [(v.tier, v.version) for v in listed] == [(tier, 1) for tier in TIERS.values()]


def test_a_change_begins_when_it_is_said_to_and_leaves_the_rest_as_it_was(market: Market) -> None:
    later = change(market, in_s=3_600, weight=7)
    assert (later.version, current(market)[TierName.MEDIUM], current(market, 3_601)[TierName.MEDIUM].weight) == (
        2,
        MEDIUM,
        7,
    )
    assert change(market, slots_max=8, classes=("cloud", "fog"), ladder=((900_000, 5),)).version == 3
    now = current(market)[TierName.MEDIUM]
    assert (now.slots_max, now.weight, now.ladder) == (8, MEDIUM.weight, ((900_000, 5),))
    assert now.classes == (ResourceClass.CLOUD, ResourceClass.FOG)
    assert current(market)[TierName.SMALL] == TIERS[TierName.SMALL]
    assert [v.version for v in tiers.list_versions(market.app.uow(), "medium")] == [1, 2, 3]
    first, second = told(market)
    assert (first["subject"], first["version"], first["changes"]) == ("tier medium", 2, {"weight": 7})
    assert second["changes"] == {"slots_max": 8, "classes": ["cloud", "fog"], "ladder": [[900_000, 5]]}


def test_an_order_placed_after_a_change_obeys_it_and_one_before_keeps_its_terms(market: Market) -> None:
    market.node("a", slots=4)
    executor = market.executor()
    [before] = market.place(slots=4)
    change(market, slots_max=2)
    assert (refused(market, slots=4).code, refused(market, slots=4).accepted) == ("invalid_slots", "1 to 2")
    [after] = market.place(slots=2)
    market.run(executor)
    market.run(executor)
    assert [(o.state, o.slots) for o in map(market.show, (before, after))] == [
        (OrderState.SETTLED, 4),
        (OrderState.SETTLED, 2),
    ]


def test_a_cap_per_request_holds_for_orders_that_are_placed_from_then_on(market: Market) -> None:
    market.node("a", ask=10 * ASK)
    executor = market.executor()
    [before] = market.place()
    assert before.worst_case_nano > 1
    change(market, request_cap_nano=before.worst_case_nano - 1)
    assert refused(market).code == "above_tier_cap"
    market.run(executor)
    assert market.show(before).state is OrderState.SETTLED


def test_other_classes_are_where_new_orders_go_and_old_ones_stay(market: Market) -> None:
    market.node("a", slots=3)
    executor = market.executor()
    [before] = market.place()
    change(market, classes=("cloud",))
    change(market, "small", classes=("mobile",))
    change(market, "large", classes=("fog",))
    why = refused(market)
    assert (why.code, why.field, why.accepted) == ("no_capacity", "tier", "large")
    with pytest.raises(Unavailable):
        sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "medium")
    assert isinstance(sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", "large"), UUID)
    [after] = market.place(tier="large")
    market.run(executor)
    market.run(executor)
    assert {market.show(order).state for order in (before, after)} == {OrderState.SETTLED}


def test_a_monthly_cap_is_everybodys_budget_from_the_moment_on_that_it_is_set(market: Market) -> None:
    market.node("a", slots=2, ask=10 * ASK)
    market.executor()
    [before] = market.place()
    born = cap(market)
    worst = before.worst_case_nano
    change(market, in_s=3_600, weight=9, request_cap_nano=worst)
    made = change(market, request_cap_nano=worst, month_cap_nano=2 * worst - 1)
    assert (made.version, cap(market).id, cap(market).limit_nano) == (3, born.id, 2 * worst - 1)
    assert cap(market).used_nano == worst
    assert refused(market, limit_nano_per_slot_s=before.limit_nano_per_slot_s).code == "budget_exceeded"
    change(market, month_cap_nano=2 * worst)
    market.place(limit_nano_per_slot_s=before.limit_nano_per_slot_s)
    later = current(market, 3_601)[TierName.MEDIUM]
    assert (later.weight, later.month_cap_nano) == (9, 2 * worst)
    assert [entry["made_again"] for entry in told(market)] == [[], [4], [6]]
    assert cap(market, "large").limit_nano == TIERS[TierName.LARGE].month_cap_nano


def test_a_monthly_cap_whose_budget_was_ended_counts_anew_what_the_month_has_used(market: Market) -> None:
    market.node("a", ask=10 * ASK)
    market.executor()
    with market.app.uow() as uow:
        uow.budgets.end(cap(market).id, utc_now())
        uow.commit()
    [order] = market.place()
    change(market, month_cap_nano=500 * NANO_PER_CREDIT)
    assert (cap(market).limit_nano, cap(market).used_nano) == (500 * NANO_PER_CREDIT, order.worst_case_nano)


def test_what_plans_are_made_against_is_read_in_as_many_statements_however_many_they_are(market: Market) -> None:
    market.node("a")
    read = []
    for requests in ([market.request()], [market.request(tier=name.value) for name in TierName] * 50):
        with market.app.uow() as uow, Statements(market.app.engine) as statements:
            placement.catalogue(uow, utc_now(), requests)
        read.append(statements.count)
    assert read[0] == read[1]
    with market.app.uow() as uow, Statements(market.app.engine) as statements:
        uow.tiers.current(utc_now())
    assert statements.count == 1


def enterprise(market: Market, **changes: object) -> WorkloadRequest:
    """An order of tier enterprise."""
    return market.request(tier="enterprise", **changes)


def test_enterprise_gets_dedicated_nodes_first_and_then_the_cloud(market: Market) -> None:
    market.node("shared", kind="cloud", ask=ASK)
    market.node("own", kind="dedicated", ask=5 * ASK)
    market.executor()
    placed = orders.place_orders(market.app.uow(), utc_now(), market.buyer, [enterprise(market)] * 2).results
    assert {o.resource_class for o in placed if isinstance(o, Order)} == {"dedicated"}
    market.clear()
    market.clear()
    shown = [market.show(o) for o in placed if isinstance(o, Order)]
    assert {o.state for o in shown} == {OrderState.RUNNING}
    assert sorted(o.resource_class for o in shown) == ["cloud", "dedicated"]


def test_enterprise_is_served_before_whoever_came_first(market: Market) -> None:
    market.node("a", kind="cloud")
    market.executor()
    waiting = [*market.place(tier="medium", region="north"), *market.place(tier="large")]
    [first] = market.place(tier="enterprise")
    market.clear()
    assert market.show(first).state is OrderState.RUNNING
    assert {market.show(order).state for order in waiting} == {OrderState.OPEN}


@pytest.mark.parametrize(
    ("tier", "changes", "in_s", "code", "field"),
    [
        ("giant", {"weight": 2}, None, "invalid_tier", "tier"),
        ("small", {}, None, "nothing_to_change", "tier"),
        ("small", {"slots_max": 0}, None, "invalid_slots_max", "slots_max"),
        ("small", {"classes": ("moon",)}, None, "invalid_classes", "classes"),
        ("small", {"reserved_ppm": 100_001}, None, "invalid_reserved_ppm", "reserved_ppm"),
        ("small", {"weight": 2}, -60, "invalid_valid_from", "valid_from"),
        ("small", {"month_cap_nano": 10**12}, 60, "invalid_valid_from", "valid_from"),
    ],
)
def test_what_can_be_no_tier_is_refused_and_writes_nothing(
    market: Market, tier: str, changes: dict[str, Any], in_s: float | None, code: str, field: str
) -> None:
    with pytest.raises(SwarmexError) as error:
        change(market, tier, in_s, **changes)
    assert (error.value.code, error.value.field) == (code, field)
    assert error.value.accepted
    assert current(market, 3_600) == TIERS
    assert told(market) == []
    assert cap(market, "small").limit_nano == TIERS[TierName.SMALL].month_cap_nano


def test_only_admins_change_tiers(market: Market) -> None:
    with pytest.raises(Forbidden):
        tiers.set_tier(market.app.uow(), utc_now(), market.provider, "small", TierChanges(weight=2))
    assert current(market) == TIERS


def test_eight_who_change_a_tier_at_once_undo_nothing_of_one_another(market: Market) -> None:
    changes: list[dict[str, Any]] = [
        {"classes": (ResourceClass.CLOUD,)},
        {"slots_max": 3},
        {"request_cap_nano": 5},
        {"month_cap_nano": 10**13},
        {"latency_ms_p95": 6},
        {"uptime_ppm": 999_000},
        {"weight": 9},
        {"reserved_ppm": 10},
    ]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda one: change(market, **one), changes))
    assert sorted(v.version for v in made) == list(range(2, 10))
    with market.app.uow() as uow:
        tier = uow.tiers.current(max(v.valid_from for v in made) + timedelta(seconds=1))[TierName.MEDIUM]
    assert {name: getattr(tier, name) for one in changes for name in one} == {
        k: v for c in changes for k, v in c.items()
    }
    assert cap(market).limit_nano == 10**13
