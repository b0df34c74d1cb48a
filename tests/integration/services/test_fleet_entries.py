"""Entries of the fleet: added, changed and removed by an operator, each with a line in the log."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from backend.bootstrap import utc_now
from backend.domain.access import Principal, Role
from backend.domain.errors import Conflict, Forbidden, Invalid, NotFound, SwarmexError
from backend.domain.fleet import AgentKind, FleetSpec, Resources
from backend.domain.fleet_changes import new_entry
from backend.domain.scaling import ScalingPolicy
from backend.services import fleet, log, scaling
from backend.storage.fleet import Resize
from backend.storage.ids import new_id
from tests.market import Market

WEST = replace(new_entry(AgentKind.INFERENCE, pool="west", least=0, most=4), image="swarmex:1.0")
EDGE = FleetSpec("pool.edge", AgentKind.INFERENCE, ("--pool", "edge"))
STANDARD = [
    *(FleetSpec(str(kind), kind) for kind in (AgentKind.ALLOCATION, AgentKind.API)),
    EDGE,
    *(FleetSpec(str(kind), kind) for kind in (AgentKind.PRICING, AgentKind.SETTLEMENT)),
]
ADMIN = None  # the operator at the machine


def logged(market: Market) -> list[tuple[str, str]]:
    return [(told.action, told.subject) for told in log.list_entries(market.app.uow(), action="fleet.")]


def test_what_is_added_changed_and_removed_is_logged_with_all_that_it_was(market: Market) -> None:
    uow = market.app.uow
    assert fleet.add_entry(uow(), utc_now(), ADMIN, WEST) == WEST
    changed = fleet.set_entry(uow(), utc_now(), ADMIN, "pool.west", cpu=0.5, memory_mb=512)
    assert changed == replace(WEST, resources=Resources(0.5, 512)), "replicas, bounds and policy stay"
    again = fleet.set_entry(uow(), utc_now(), ADMIN, "pool.west", image="", memory_mb=0)
    assert fleet.desired(uow()) == [again] == [replace(WEST, image=None, resources=Resources(0.5))]
    assert fleet.remove_entry(uow(), utc_now(), ADMIN, "pool.west") == again
    assert fleet.desired(uow()) == []
    names = ("fleet.remove", "fleet.set", "fleet.set", "fleet.add")
    assert logged(market) == [(name, "fleet pool.west") for name in names]
    removed, *_, added = log.list_entries(uow(), action="fleet.")
    assert (added.details["image"], added.details["policy"]) == ("swarmex:1.0", ScalingPolicy().wire())
    assert removed.details["resources"] == {"cpu": 0.5, "memory_mb": None}


def test_what_is_refused_changes_nothing_and_is_not_logged(market: Market) -> None:
    uow = market.app.uow
    fleet.set_desired(uow(), STANDARD)
    stranger = Principal(None, market.provider.account_id, Role.PROVIDER)
    refused: list[tuple[Callable[[], object], type[SwarmexError]]] = [
        (lambda: fleet.add_entry(uow(), utc_now(), ADMIN, EDGE), Conflict),
        (lambda: fleet.add_entry(uow(), utc_now(), ADMIN, replace(WEST, name="pool.edge-1")), Conflict),
        (lambda: fleet.add_entry(uow(), utc_now(), ADMIN, replace(WEST, replicas=9)), Invalid),
        (lambda: fleet.set_entry(uow(), utc_now(), ADMIN, "pool.edge"), Invalid),
        (lambda: fleet.set_entry(uow(), utc_now(), ADMIN, "pool.edge", cpu=-1.0), Invalid),
        (lambda: fleet.set_entry(uow(), utc_now(), ADMIN, "nobody", cpu=1.0), NotFound),
        (lambda: fleet.remove_entry(uow(), utc_now(), ADMIN, "settlement"), Conflict),
        (lambda: fleet.remove_entry(uow(), utc_now(), ADMIN, "nobody"), NotFound),
        (lambda: fleet.add_entry(uow(), utc_now(), stranger, WEST), Forbidden),
        (lambda: fleet.set_entry(uow(), utc_now(), stranger, "pool.edge", cpu=1.0), Forbidden),
        (lambda: fleet.remove_entry(uow(), utc_now(), stranger, "pool.edge"), Forbidden),
    ]
    for act, refusal in refused:
        with pytest.raises(refusal):
            act()
    assert fleet.desired(uow()) == STANDARD
    assert logged(market) == []


def outcome(act: Callable[[], object]) -> str | None:
    """The code of a refusal, if it was one."""
    try:
        act()
    except SwarmexError as refused:
        return refused.code
    return None


def test_of_the_last_two_entries_that_are_removed_at_once_one_stays(market: Market) -> None:
    names = ["settlement", "settlement.b"]
    for _ in range(5):
        fleet.set_desired(market.app.uow(), [FleetSpec(name, AgentKind.SETTLEMENT) for name in names])
        with ThreadPoolExecutor() as pool:
            codes = pool.map(
                lambda name: outcome(lambda: fleet.remove_entry(market.app.uow(), utc_now(), ADMIN, name)), names
            )
            assert sorted(codes, key=str) == [None, "entry_needed"]
        assert len(fleet.desired(market.app.uow())) == 1


def test_of_two_that_add_one_name_at_once_one_is_told(market: Market) -> None:
    wishes = [WEST, replace(WEST, image="swarmex:2.0")]
    for _ in range(5):
        with ThreadPoolExecutor() as pool:
            codes = pool.map(
                lambda spec: outcome(lambda: fleet.add_entry(market.app.uow(), utc_now(), ADMIN, spec)), wishes
            )
            assert sorted(codes, key=str) == [None, "fleet_entry_exists"]
        fleet.remove_entry(market.app.uow(), utc_now(), ADMIN, "pool.west")
    assert len(logged(market)) == 10


def test_an_entry_that_comes_back_has_no_memory_of_the_one_before(market: Market) -> None:
    uow = market.app.uow
    fleet.add_entry(uow(), utc_now(), ADMIN, WEST)
    other = replace(WEST, name="far")
    fleet.add_entry(uow(), utc_now(), ADMIN, other)
    with uow() as work:
        kept = [Resize(new_id(), name, utc_now(), 0, 1, "load", "because") for name in ("pool.west", "far")]
        work.fleet.remember(kept, scaling.DECISIONS_KEPT)
        work.commit()
    fleet.remove_entry(uow(), utc_now(), ADMIN, "pool.west")
    fleet.add_entry(uow(), utc_now(), ADMIN, WEST)
    assert fleet.decisions(uow(), "pool.west") == []
    assert len(fleet.decisions(uow(), "far")) == 1


def test_a_start_brings_back_what_the_market_needs_and_not_what_was_removed(market: Market) -> None:
    uow = market.app.uow
    assert fleet.ensure(uow(), STANDARD, restore=False) == STANDARD, "a new market gets all"
    fleet.remove_entry(uow(), utc_now(), ADMIN, "pool.edge")
    without = [spec for spec in STANDARD if spec != EDGE]
    assert fleet.ensure(uow(), STANDARD, restore=False) == without
    assert fleet.desired(uow()) == without
    assert fleet.ensure(uow(), STANDARD) == STANDARD, "who cannot do without it says so"
