"""Who gets whose machine: held against OR-tools' bare solve of the same pairs, and above its size against a maximum."""

import time
from collections.abc import Iterator

import numpy as np
from ortools.graph.python import min_cost_flow

from backend.domain.placement import PAIRS_EXACT_MAX, maximum_surplus
from tests.performance.bench import Bench
from tests.performance.rows import Row, Target
from tests.unit.domain.assignments import Ints, Problem, dense, planted

ORDERS = NODES = 1_000
DENSITY = 0.23  # about 170,000 pairs are left where the limit is above the ask
LARGE_ORDERS, LARGE_NODES, LARGE_SLOTS = 20_000, 5_000, 3
LARGE_EACH = 850  # nodes that suit an order: the same 17% of all
SLACK_NANO = 150_000  # of gains up to 2,000,000: twice what preferences make of them
ROUNDS = 3


def run(bench: Bench) -> Iterator[Row]:
    """Making the books is not timed, nor is handing pairs to the bare solver."""
    yield from _exact(bench)
    yield from _fallback(bench)


def _exact(bench: Bench) -> Iterator[Row]:
    asked = dense(np.random.default_rng(1), ORDERS, NODES, DENSITY)
    surpluses: dict[str, int] = {}

    def ours_ms() -> float:
        started = time.perf_counter()
        slots = maximum_surplus(asked.pairs, asked.demand, asked.supply)
        took_ms = 1_000 * (time.perf_counter() - started)
        surpluses["ours"] = _kept(asked, slots)
        return took_ms

    def bare_ms() -> float:
        flow = _bare(asked)
        started = time.perf_counter()
        status = flow.solve()
        took_ms = 1_000 * (time.perf_counter() - started)
        assert status == flow.OPTIMAL
        surpluses["best"] = -flow.optimal_cost()
        return took_ms

    times = bench.pairs(ours_ms, bare_ms)
    reference = f"ms as OR-tools' bare solve of the same {len(asked.pairs):,} pairs"
    yield Row(
        "constrained_assignment",
        times.value,
        "ms",
        reference,
        times.reference_value,
        times.ratio,
        Target("ratio", "≤", 3),
    )
    ratio = surpluses["ours"] / surpluses["best"]
    yield Row(
        "constrained_assignment_welfare",
        ratio,
        "of the maximum",
        "1 is the maximum by the bare solve",
        None,
        None,
        Target("value", "≥", 0.999),
    )


def _fallback(bench: Bench) -> Iterator[Row]:
    random = np.random.default_rng(2)
    asked = planted(random, LARGE_ORDERS, LARGE_NODES, LARGE_EACH, LARGE_SLOTS, SLACK_NANO)
    assert len(asked.pairs) > PAIRS_EXACT_MAX
    assert asked.best
    times, ratios = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        slots = maximum_surplus(asked.pairs, asked.demand, asked.supply)
        times.append(time.perf_counter() - started)
        ratios.append(_kept(asked, slots) / asked.best)
        bench.step()
    size = f"{LARGE_ORDERS:,} orders × {LARGE_NODES:,} nodes, {len(asked.pairs):,} pairs"
    yield Row("assignment_fallback", float(np.median(times)), "s", size, None, None, Target("value", "≤", 2))
    yield Row(
        "assignment_fallback_welfare",
        min(ratios),
        "of the maximum",
        "1 is the maximum that the book was made for",
        None,
        None,
        Target("value", "≥", 0.98),
    )


def _kept(asked: Problem, slots: Ints) -> int:
    """The surplus, of slots that may be given."""
    assert asked.keeps_capacities(slots)
    return asked.surplus(slots)


def _bare(asked: Problem) -> min_cost_flow.SimpleMinCostFlow:
    """The same pairs as arcs, with the least beside them that lets a slot stay free."""
    pairs, bids, asks = asked.pairs, len(asked.demand), len(asked.supply)
    flow = min_cost_flow.SimpleMinCostFlow()
    flow.add_arcs_with_capacity_and_unit_cost(pairs.bid, pairs.ask + np.int32(bids), pairs.slots, -pairs.gain)
    everybody = np.arange(bids + asks, dtype=np.int32)
    flow.add_arcs_with_capacity_and_unit_cost(
        everybody,
        np.full(bids + asks, bids + asks, np.int32),
        np.concatenate([asked.demand, asked.supply]),
        np.zeros(bids + asks, np.int64),
    )
    flow.set_nodes_supplies(everybody[:bids], asked.demand)
    flow.set_node_supply(bids + asks, -int(asked.demand.sum()))
    return flow
