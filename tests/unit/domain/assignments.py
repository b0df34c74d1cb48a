"""Assignment problems for tests and benchmarks, what holds for their solutions, and their maximum by another way."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from backend.domain.placement import Pairs

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What `maximum_surplus` is asked; `best` is the largest surplus where it is known."""

    pairs: Pairs
    demand: Ints
    supply: Ints
    best: int | None = None

    def surplus(self, slots: Ints) -> int:
        """What these slots of the pairs gain."""
        return int(self.pairs.gain @ slots)

    def keeps_capacities(self, slots: Ints) -> bool:
        """Whether nobody gets more slots than wanted, and no pair and no ask gives more than it has."""
        got = np.bincount(self.pairs.bid, slots, len(self.demand))
        sold = np.bincount(self.pairs.ask, slots, len(self.supply))
        within = (slots >= 0).all() and (slots <= self.pairs.slots).all()
        return bool(within and (got <= self.demand).all() and (sold <= self.supply).all())

    def best_by_linear_program(self) -> int:
        """The largest surplus, by HiGHS; its corners are whole, as rows and columns of a bipartite graph are."""
        count = len(self.pairs)
        if not count:
            return 0
        rows = np.concatenate([self.pairs.bid, self.pairs.ask + len(self.demand)])
        sides = csr_matrix((np.ones(2 * count), (rows, np.tile(np.arange(count), 2))))
        capacities = np.concatenate([self.demand, self.supply])[: sides.shape[0]]
        bounds = np.column_stack([np.zeros(count), self.pairs.slots])
        found = linprog(-self.pairs.gain.astype(float), A_ub=sides, b_ub=capacities, bounds=bounds, method="highs")
        assert found.success
        return self.surplus(np.rint(found.x).astype(np.int64))


def problem(rows: list[tuple[int, int, int, int]], demand: list[int], supply: list[int]) -> Problem:
    """Of rows (bid, ask, gain, slots)."""
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    pairs = Pairs(columns[0].astype(np.int32), columns[1].astype(np.int32), columns[2], columns[3])
    return Problem(pairs, np.array(demand, np.int64), np.array(supply, np.int64))


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Up to 8 × 8 with any of their pairs, in any order; few distinct gains, so that they tie."""
    demand = draw(st.lists(st.integers(0, 5), min_size=1, max_size=8))
    supply = draw(st.lists(st.integers(0, 5), min_size=1, max_size=8))
    places = st.tuples(st.integers(0, len(demand) - 1), st.integers(0, len(supply) - 1))
    gains = st.one_of(st.integers(0, 5), st.integers(0, 10**9))
    rows = [
        (bid, ask, draw(gains), min(demand[bid], supply[ask], draw(st.integers(1, 5))))
        for bid, ask in draw(st.lists(places, unique=True, max_size=40))
    ]
    return problem(rows, demand, supply)


def dense(random: np.random.Generator, bids: int, asks: int, density: float, slots_max: int = 3) -> Problem:
    """Limits, asks and preferences as on a market: what an order gains of a slot is mostly not about who both are."""
    bid, ask = np.nonzero(random.random((bids, asks)) < density)
    limit, price = random.integers(500_000, 2_000_000, bids), random.integers(300_000, 1_500_000, asks)
    gain = limit[bid] - price[ask] + random.integers(0, 75_000, len(bid))
    bid, ask, gain = bid[gain >= 0], ask[gain >= 0], gain[gain >= 0]
    demand, supply = random.integers(1, slots_max + 1, bids), random.integers(1, slots_max + 1, asks)
    slots = np.minimum(demand[bid], supply[ask])
    return Problem(Pairs(bid.astype(np.int32), ask.astype(np.int32), gain, slots), demand, supply)


def planted(random: np.random.Generator, bids: int, asks: int, each: int, slots: int, slack_nano: int) -> Problem:
    """`each` pairs a bid, with a maximum known by construction; all asks are sold, so bids are at least asks × slots.

    Every bid has a profit and every ask a price. A pair of theirs gains both together less a random slack; one pair
    of each of asks × slots bids has none, and all other bids profit nothing: so profits and prices are dual to them.
    """
    profit, price = random.integers(0, 1_000_000, bids), random.integers(0, 1_000_000, asks)
    ask = np.sort(random.integers(0, asks, (bids, each), dtype=np.int32), axis=1)
    served = np.sort(random.permutation(bids)[: asks * slots])
    at = random.integers(0, each, len(served))
    profit[np.setdiff1d(np.arange(bids), served)] = 0
    ask[served, at] = random.permutation(np.repeat(np.arange(asks, dtype=np.int32), slots))
    slack = random.integers(0, slack_nano, (bids, each))
    slack[served, at] = 0
    gain = np.maximum(0, profit[:, None] + price[ask] - slack)
    bid = np.repeat(np.arange(bids, dtype=np.int32), each)
    pairs = Pairs(bid, ask.ravel(), gain.ravel(), np.ones(bids * each, np.int64))
    best = int(profit.sum() + price.sum() * slots)
    return Problem(pairs, np.ones(bids, np.int64), np.full(asks, slots, np.int64), best)
