"""Which machines can serve an order, what is missing where none can, and which of them it prefers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backend.domain.ids import ModelId
from backend.domain.machines import NO_NEEDS, Machine, Needs
from backend.domain.money import AMOUNT_NANO_MAX, PPM
from backend.domain.orders import Strategy
from backend.domain.placement import SOFT_PPM, Machines, Shortfall, feasible, preference_nano, shortfalls, suits
from tests.unit.domain.machine_lists import MODELS, NODES, machine, machine_lists, machines
from tests.unit.domain.machine_lists import needs as any_needs

ABLE = machine(
    cores=8,
    memory_mb=1_000,
    gpu_model="a100",
    gpu_memory_mb=500,
    accelerators=2,
    residency="ch",
    latency_ms=20,
    trust_ppm=900_000,
)
JUST_MET = Needs(
    cores=8,
    memory_mb=1_000,
    gpu_model="a100",
    gpu_memory_mb=500,
    accelerators=2,
    residency=("de", "ch"),
    latency_ms_max=20,
    trust_min_ppm=900_000,
    dedicated=True,
    spread=True,
    only=(NODES[0], NODES[1]),
    never=(NODES[2],),
)
UNABLE: dict[str, dict[str, Any]] = {
    "cores": {"cores": 7},
    "memory_mb": {"memory_mb": 999},
    "gpu_model": {"gpu_model": "t4"},
    "no GPU": {"gpu_model": None},
    "gpu_memory_mb": {"gpu_memory_mb": 499},
    "accelerators": {"accelerators": 1},
    "residency": {"residency": "us"},
    "no residency": {"residency": None},
    "latency_ms": {"latency_ms": 21},
    "trust_ppm": {"trust_ppm": 899_999},
    "dedicated": {"busy_slots": 1},
    "only and never": {"node_id": NODES[2]},
    "only": {"node_id": NODES[3]},
}


@given(any_needs, machine_lists)
def test_machines_found_at_once_are_those_that_suit_one_by_one(needs: Needs, machines: list[Machine]) -> None:
    assert feasible(needs, Machines.of(machines)).tolist() == [suits(needs, machine) for machine in machines]


def test_a_machine_suits_that_has_just_what_is_needed() -> None:
    assert suits(JUST_MET, ABLE)


@pytest.mark.parametrize("lack", UNABLE)
def test_a_machine_that_lacks_one_need_never_suits(lack: str) -> None:
    unable = replace(ABLE, **UNABLE[lack])

    assert not suits(JUST_MET, unable)
    assert feasible(JUST_MET, Machines.of([unable, ABLE])).tolist() == [False, True]


def test_a_machine_that_is_never_to_be_used_does_not_suit_an_order_that_names_no_others() -> None:
    assert not suits(Needs(never=(NODES[0],)), ABLE)


@given(machines)
def test_an_order_without_needs_suits_every_machine(any_machine: Machine) -> None:
    assert suits(NO_NEEDS, any_machine)


def test_what_is_lacking_is_told_of_the_nearest_machine() -> None:
    far = machine(cores=1, gpu_memory_mb=100, residency="us")
    near = machine(cores=8, gpu_memory_mb=200, residency="ch")

    missing = shortfalls(Needs(cores=4, gpu_memory_mb=300, residency=("ch",)), [far, near])

    assert missing == (Shortfall("gpu_memory_mb", "300", "200"),)


def test_the_best_value_is_one_that_would_have_found_a_machine() -> None:
    equally_near = [machine(gpu_memory_mb=200), machine(gpu_memory_mb=250)]
    elsewhere = machine(gpu_memory_mb=299, cores=0)

    missing = shortfalls(Needs(gpu_memory_mb=300, cores=1), [elsewhere, *equally_near])

    assert missing == (Shortfall("gpu_memory_mb", "300", "250"),)


@given(any_needs, machine_lists)
def test_something_is_lacking_exactly_where_machines_are_and_none_suits(needs: Needs, found: list[Machine]) -> None:
    none_suits = bool(found) and not any(suits(needs, machine) for machine in found)

    assert bool(shortfalls(needs, found)) == none_suits


@given(any_needs, machine_lists)
def test_an_order_without_what_is_lacking_finds_a_machine(needs: Needs, found: list[Machine]) -> None:
    assume(found)
    eased = {shortfall.need: getattr(NO_NEEDS, shortfall.need) for shortfall in shortfalls(needs, found)}

    assert any(suits(replace(needs, **eased), machine) for machine in found)


@pytest.mark.parametrize(
    ("needs", "missing"),
    [
        (Needs(cores=9), Shortfall("cores", "9", "4")),
        (Needs(memory_mb=9_999), Shortfall("memory_mb", "9999", "1024")),
        (Needs(gpu_model="h100"), Shortfall("gpu_model", "h100", "a100, t4")),
        (Needs(accelerators=3), Shortfall("accelerators", "3", "0")),
        (Needs(residency=("us", "fr")), Shortfall("residency", "fr, us", "ch")),
        (Needs(latency_ms_max=5), Shortfall("latency_ms_max", "5", "10")),
        (Needs(trust_min_ppm=700_000), Shortfall("trust_min_ppm", "700000", "600000")),
        (Needs(dedicated=True), Shortfall("dedicated", "an idle node", "a node with 1 busy slots")),
        (Needs(only=(NODES[2], NODES[3])), Shortfall("only", "one of 2 named nodes", "none")),
        (Needs(never=(NODES[0], NODES[1])), Shortfall("never", "none of 2 named nodes", "none")),
    ],
)
def test_every_need_says_what_was_wanted_and_the_best_there_is(needs: Needs, missing: Shortfall) -> None:
    found = [
        machine(0, cores=2, gpu_model="t4", latency_ms=10, trust_ppm=600_000, busy_slots=3),
        machine(1, cores=4, gpu_model="a100", latency_ms=30, trust_ppm=500_000, busy_slots=1, residency="ch"),
    ]

    assert shortfalls(needs, found) == (missing,)


def test_names_that_are_there_are_shown_a_few_only_or_as_none() -> None:
    many = [machine(residency=f"r{number}") for number in range(6)]

    assert shortfalls(Needs(residency=("x",)), many)[0].best == "r0, r1, r2, r3, r4, …"
    assert shortfalls(Needs(residency=("x",)), [machine()])[0].best == "none"


def preferred(strategy: Strategy, of: Sequence[Machine]) -> list[int]:
    return [int(worth) for worth in preference_nano(strategy, 1_000_000, Machines.of(of), MODELS[0])]


@given(
    st.sampled_from(Strategy),
    st.integers(1, AMOUNT_NANO_MAX),
    machine_lists,
    st.none() | st.sampled_from(MODELS),
)
def test_preferences_are_worth_no_more_than_a_small_part_of_the_limit(
    strategy: Strategy, limit_nano: int, found: list[Machine], model: ModelId | None
) -> None:
    worth = preference_nano(strategy, limit_nano, Machines.of(found), model)

    assert worth.dtype == np.int64
    assert all(0 <= int(nano) * PPM <= limit_nano * SOFT_PPM for nano in worth)


@pytest.mark.parametrize("strategy", Strategy)
def test_a_machine_that_has_the_model_is_preferred_to_the_nearest_and_most_trusted(strategy: Strategy) -> None:
    cached = machine(latency_ms=60_000, trust_ppm=0, models=frozenset({MODELS[0]}))
    near = machine(latency_ms=0, trust_ppm=PPM, models=frozenset({MODELS[1]}))

    with_model, without = preferred(strategy, [cached, near])

    assert with_model > without


def test_the_latency_strategy_prefers_near_machines_whatever_their_trust() -> None:
    near, far = preferred(Strategy.LATENCY, [machine(latency_ms=5, trust_ppm=0), machine(latency_ms=80, trust_ppm=PPM)])

    assert near > far


def test_the_balanced_strategy_prefers_near_and_trusted_machines() -> None:
    plain, near, trusted = preferred(
        Strategy.BALANCED,
        [
            machine(latency_ms=50, trust_ppm=400_000),
            machine(latency_ms=5, trust_ppm=400_000),
            machine(latency_ms=50, trust_ppm=900_000),
        ],
    )

    assert plain < min(near, trusted)


def test_the_cost_strategy_prefers_no_machine_for_its_latency_or_trust() -> None:
    assert preferred(Strategy.COST, [machine(latency_ms=1, trust_ppm=PPM), machine(latency_ms=900)]) == [0, 0]


def test_an_order_without_a_model_prefers_no_machine_for_its_models() -> None:
    found = Machines.of([machine(models=frozenset(MODELS)), machine()])

    assert preference_nano(Strategy.COST, 1_000_000, found, None).tolist() == [0, 0]
