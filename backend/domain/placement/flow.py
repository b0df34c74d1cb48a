"""The assignment as a flow of least cost, solved by OR-tools (cost scaling, Goldberg 1997)."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Positions = NDArray[np.int32]

SLOT_PARTS = 1 << 20  # a slot that gains nothing counts for at least this part of a nano
COST_BITS = 58  # the solver multiplies costs by the number of nodes; five bits of 63 are left for its own sums


def exact_maximum(bid: Positions, ask: Positions, gain: Ints, slots: Ints, demand: Ints, supply: Ints) -> Ints:
    """Slots of each pair for the largest Σ gain × slots and then the most slots.

    Exact for up to a million slots (a nano may be missing of each million more) while the largest gain × slots × nodes
    stays below 2⁵⁷: for 2,000 nodes and 2,000 slots, gains up to 36 credits per slot-second. Larger gains are rounded
    down to multiples of a power of two, at most 10⁻⁶ of the largest gain at 25,000 nodes; each slot may miss as much.
    """
    if not len(bid):
        return np.zeros(0, np.int64)
    from ortools.graph.python import min_cost_flow  # late: most processes never solve one

    bids, asks = len(demand), len(supply)
    sink = bids + asks
    capacity = np.minimum(slots, np.minimum(demand[bid], supply[ask]))
    flow = min_cost_flow.SimpleMinCostFlow()
    arcs = flow.add_arcs_with_capacity_and_unit_cost(
        bid, ask + np.int32(bids), capacity, -_worth(gain, int(min(demand.sum(), supply.sum())), sink + 1)
    )
    # What a bid does not get goes to the sink for nothing, so that a slot is taken only where it gains.
    everybody = np.arange(sink, dtype=np.int32)
    ends = np.full(sink, sink, np.int32)
    flow.add_arcs_with_capacity_and_unit_cost(
        everybody, ends, np.concatenate([demand, supply]), np.zeros(sink, np.int64)
    )
    flow.set_nodes_supplies(everybody[:bids], demand)
    flow.set_node_supply(sink, -int(demand.sum()))
    status = flow.solve()
    assert status == flow.OPTIMAL, f"the sink takes all that bids do not get, and costs are bounded: {status}"
    found: Ints = flow.flows(arcs)
    return found


def _worth(gain: Ints, slots: int, nodes: int) -> Ints:
    """Gains so that one unit of gain outweighs any number of slots, and a slot is worth one more than none."""
    unit = min(slots + 1, SLOT_PARTS)
    gain_bits = ((1 << COST_BITS) // (nodes * unit)).bit_length() - 1
    return (gain >> max(0, int(gain.max()).bit_length() - gain_bits)) * unit + 1
