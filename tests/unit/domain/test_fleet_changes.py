"""What an operator may do to the entries of a fleet."""

from dataclasses import replace

import pytest

from backend.domain.errors import Conflict, Invalid
from backend.domain.fleet import REPLICAS_MAX, AgentKind, FleetSpec, Resources
from backend.domain.fleet_changes import (
    ENTRIES_MAX,
    NEEDED,
    changed_entry,
    check_new,
    check_removal,
    missing_entries,
    new_entry,
)
from backend.domain.scaling import ScalingPolicy

SETTLEMENT = FleetSpec("settlement", AgentKind.SETTLEMENT)
WEST = FleetSpec("pool.west", AgentKind.INFERENCE, ("--pool", "west"))


def test_an_entry_is_named_after_its_pool_or_its_kind_and_starts_with_one() -> None:
    assert new_entry(AgentKind.INFERENCE, pool="west") == WEST
    assert new_entry(AgentKind.SETTLEMENT) == SETTLEMENT
    assert new_entry(AgentKind.INFERENCE, pool="west", name="far").name == "far"


@pytest.mark.parametrize(
    ("least", "most", "replicas"),
    [(0, 4, 1), (3, 4, 3), (None, 4, 1), (2, None, 2), (None, 0, 0), (2, 2, 2)],
)
def test_it_starts_with_one_or_as_many_as_its_bounds_ask_for_and_follows_its_load_where_it_can(
    least: int | None, most: int | None, replicas: int
) -> None:
    spec = new_entry(AgentKind.INFERENCE, pool="west", least=least, most=most)
    bounds = (0 if least is None else least, REPLICAS_MAX if most is None else most)
    assert (spec.replicas, spec.replicas_min, spec.replicas_max) == (replicas, *bounds)
    assert spec.policy == (ScalingPolicy() if bounds[0] < bounds[1] else None)
    other = new_entry(AgentKind.PRICING, least=least, most=most)
    assert (other.replicas, other.policy) == (replicas, None), "of others the load is not measured"


def test_an_entry_has_the_limits_that_were_stated() -> None:
    spec = new_entry(AgentKind.INFERENCE, pool="west", image="swarmex:1.1", cpu=0.5)
    assert (spec.image, spec.resources) == ("swarmex:1.1", Resources(0.5, None))


@pytest.mark.parametrize(
    ("kind", "stated", "code", "field"),
    [
        (AgentKind.INFERENCE, {}, "invalid_pool", "pool"),
        (AgentKind.PRICING, {"pool": "west"}, "invalid_pool", "pool"),
        (AgentKind.INFERENCE, {"pool": "Far West"}, "invalid_pool", "pool"),
        (AgentKind.MANAGER, {}, "invalid_kind", "kind"),
        (AgentKind.PRICING, {"name": "no name"}, "invalid_name", "name"),
        (AgentKind.PRICING, {"least": 3, "most": 2}, "invalid_replicas_min", "replicas_min"),
        (AgentKind.PRICING, {"most": 101}, "invalid_replicas_max", "replicas_max"),
        (AgentKind.PRICING, {"image": "no image"}, "invalid_image", "image"),
        (AgentKind.PRICING, {"cpu": -1.0}, "invalid_cpu", "resources.cpu"),
        (AgentKind.PRICING, {"cpu": float("nan")}, "invalid_cpu", "resources.cpu"),
        (AgentKind.PRICING, {"memory_mb": 8}, "invalid_memory_mb", "resources.memory_mb"),
    ],
)
def test_an_entry_that_cannot_be_is_refused_by_its_field(
    kind: AgentKind, stated: dict[str, object], code: str, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        new_entry(kind, **stated)  # type: ignore[arg-type]  # a table of anything
    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.accepted


def test_what_is_not_stated_stays_and_nothing_takes_it_away() -> None:
    limited = changed_entry(WEST, "swarmex:1.1", 0.5, 512)
    assert limited == replace(WEST, image="swarmex:1.1", resources=Resources(0.5, 512))
    assert changed_entry(limited, None, 2.0, None) == replace(limited, resources=Resources(2.0, 512))
    assert changed_entry(limited, None, 0.0, None) == replace(limited, resources=Resources(None, 512))
    assert changed_entry(limited, "", 0.0, 0) == WEST


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        ((None, None, None), "nothing_to_change"),
        (("no image", None, None), "invalid_image"),
        ((None, 300.0, None), "invalid_cpu"),
        ((None, None, 8), "invalid_memory_mb"),
    ],
)
def test_a_change_that_cannot_be_is_refused(stated: tuple[str | None, float | None, int | None], code: str) -> None:
    with pytest.raises(Invalid) as refused:
        changed_entry(WEST, *stated)
    assert refused.value.code == code
    assert refused.value.accepted


def test_an_entry_is_new_when_neither_it_nor_its_members_can_be_taken_for_another() -> None:
    check_new(WEST, [SETTLEMENT, replace(WEST, name="pool.west.2"), replace(WEST, name="pool.westward-1")])
    for name, code in (
        ("pool.west", "fleet_entry_exists"),
        ("pool.west-1", "ambiguous_name"),
        ("settlement-2", "ambiguous_name"),
    ):
        with pytest.raises(Conflict) as refused:
            check_new(replace(WEST, name=name), [WEST, SETTLEMENT])
        assert (refused.value.code, refused.value.field) == (code, "name")
    with pytest.raises(Conflict, match="could not be told apart"):
        check_new(WEST, [replace(WEST, name="pool.west-7")])


def test_a_fleet_has_a_limit() -> None:
    many = [replace(WEST, name=f"pool.{number}") for number in range(ENTRIES_MAX)]
    check_new(WEST, many[1:])
    with pytest.raises(Conflict) as refused:
        check_new(WEST, many)
    assert refused.value.code == "fleet_full"


@pytest.mark.parametrize("kind", sorted(NEEDED))
def test_the_last_entry_of_a_kind_that_a_market_needs_stays(kind: AgentKind) -> None:
    first, second = FleetSpec(str(kind), kind), FleetSpec(f"{kind}.b", kind)
    check_removal(first, [first, second])
    with pytest.raises(Conflict) as refused:
        check_removal(first, [first])
    assert (refused.value.code, refused.value.field) == ("entry_needed", "name")


def test_the_last_pool_may_go() -> None:
    check_removal(WEST, [WEST])


def test_a_start_adds_all_to_a_new_market_and_brings_nothing_back_that_was_removed() -> None:
    needed = [FleetSpec(str(kind), kind) for kind in sorted(NEEDED)]
    standard = [*needed, WEST]
    assert missing_entries([], standard) == standard
    assert missing_entries([replace(WEST, name="far")], standard) == standard, "it was added before the first start"
    assert missing_entries(standard, standard) == []
    assert missing_entries(needed, standard) == []
    others = [replace(SETTLEMENT, name="settlement.b"), *(spec for spec in needed if spec.kind is not SETTLEMENT.kind)]
    assert missing_entries(others, standard) == []
    assert missing_entries([SETTLEMENT], standard) == [spec for spec in needed if spec != SETTLEMENT]
