"""A market played epoch by epoch: synthetic orders are cleared, and the spot price follows utilisation.

Buyers are truthful and heed the quote: who values a slot less does not bid, and waits for it to fall. Slots run for as
long as their order was drawn to; what an order does not get at once goes on waiting until its buyer gives up.
"""

from collections.abc import Callable
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from backend.domain.auctions import AGED, Book, Trades, clear
from backend.domain.auctions.book import Asks, Bids, Kind
from backend.domain.ids import NodeId, OfferId, OrderId
from backend.domain.machines import NO_NEEDS, Machine
from backend.domain.money import PPM, US_PER_S
from backend.domain.orders import Strategy
from backend.domain.pricing import Supply, next_spot
from backend.domain.simulation.draws import SEGMENTS, Demand, Ints, draw_asks, draw_demand
from backend.domain.simulation.outcome import Series, Simulation, TierOutcome, Totals, share_ppm
from backend.domain.simulation.plan import Day

_KINDS = (Kind(NO_NEEDS, Strategy.BALANCED, None),)


def simulate(day: Day, random: np.random.Generator, tell: Callable[[int], None] = lambda _: None) -> Simulation:
    """Play a day; the same day and a generator in the same state give the same result. `tell` hears of each step."""
    floor = _Floor(day, draw_asks(day, random), draw_demand(day, random))
    for step in range(day.steps):
        floor.play(step)
        tell(step + 1)
    return Simulation(day, floor.series, floor.totals())


class _Floor:
    """The market while it is played: free slots by node, orders that wait, and when leased slots come back."""

    def __init__(self, day: Day, asks: Ints, demand: Demand) -> None:
        self.day, self.asks, self.demand = day, asks, demand
        self.free = np.full(day.nodes, day.slots)
        self.returns = np.zeros((demand.longest + 1, day.nodes), np.int64)  # a ring of steps
        self.left = demand.slots.copy()
        self.waiting = np.zeros(0, np.int64)
        self.waited = np.zeros(len(demand.slots), np.int64)  # steps × slots that traded then
        self.order_ids = [OrderId(UUID(int=number)) for number in range(len(demand.slots))]
        self.nodes = [UUID(int=number) for number in range(day.nodes)]
        self.machines = [Machine(NodeId(node), day.slots) for node in self.nodes]
        self.spot_nano = next_spot(None, Supply(day.slots_all, 0, int(asks.min())))
        self.series = Series(*(np.zeros(day.steps, np.int64) for _ in Series.__dataclass_fields__))

    def play(self, step: int) -> None:
        """One epoch: slots come back, orders come and go, the book is cleared, and the price moves for the next."""
        s, slot = self.series, step % len(self.returns)
        self.free += self.returns[slot]
        self.returns[slot] = 0
        s.spot_nano[step] = self.spot_nano
        self._come_and_go(step)
        willing, selling = self._willing(), np.flatnonzero(self.free)
        if len(willing) and len(selling):
            self._trade(step, willing, selling)
            self.waiting = self.waiting[self.left[self.waiting] > 0]
        s.waiting_slots[step] = self.left[self.waiting].sum()
        supply = self._supply()
        s.busy_slots[step] = supply.busy_slots
        self.spot_nano = next_spot(self.spot_nano, supply)

    def _willing(self) -> Ints:
        """Who waits and would pay the quote."""
        would: NDArray[np.bool_] = self.demand.value_nano[self.waiting] >= self.spot_nano
        return self.waiting[would]

    def _supply(self) -> Supply:
        """What the pricing agent sees."""
        busy = self.day.slots_all - int(self.free.sum())
        return Supply(self.day.slots_all, busy, int(self.asks.min()), int(self.left[self._willing()].sum()))

    def _come_and_go(self, step: int) -> None:
        first, last = self.demand.first[step : step + 2].tolist()
        gone = self.demand.gives_up[self.waiting] <= step
        self.series.expired_slots[step] = self.left[self.waiting[gone]].sum()
        self.waiting = np.concatenate((self.waiting[~gone], np.arange(first, last)))
        self.series.orders[step] = last - first
        self.series.arrived_slots[step] = self.demand.slots[first:last].sum()

    def _trade(self, step: int, willing: Ints, selling: Ints) -> None:
        s, demand = self.series, self.demand
        book = self._book(step, willing, selling)
        trades = clear(book, self.day.mechanism, seed=step).trades
        s.optimum_nano_per_s[step] = best_welfare(
            book.bids.limit_nano, book.bids.slots, book.asks.ask_nano, book.asks.slots
        )
        orders, nodes, slots = willing[trades.bid], selling[trades.ask], trades.slots
        np.subtract.at(self.left, orders, slots)
        np.subtract.at(self.free, nodes, slots)
        np.add.at(self.returns, ((step + demand.runs[orders]) % len(self.returns), nodes), slots)
        np.add.at(self.waited, orders, (step - demand.arrives[orders]) * slots)
        gain, slot_s = demand.value_nano[orders] - self.asks[nodes], slots * demand.runs[orders] * self.day.step_s
        s.welfare_nano_per_s[step], s.surplus_nano[step] = (gain * slots).sum(), (gain * slot_s).sum()
        self._count(step, trades, slot_s)

    def _count(self, step: int, trades: Trades, slot_s: Ints) -> None:
        s = self.series
        s.traded_slots[step] = traded = trades.slots.sum()
        s.paid_nano_per_s[step] = paid = (trades.pays_nano * trades.slots).sum()
        s.price_nano[step] = paid // traded if traded else 0
        s.spent_nano[step] = (trades.pays_nano * slot_s).sum()
        s.earned_nano[step] = (trades.earns_nano * slot_s).sum()

    def _book(self, step: int, willing: Ints, selling: Ints) -> Book:
        """Straight in columns: numbers are ids, so both sides are in the order of ids already."""
        demand, none = self.demand, np.zeros(len(willing), np.int64)
        arrived = demand.arrives[willing]
        bids = Bids(
            ids=[self.order_ids[order] for order in willing.tolist()],
            slots=self.left[willing],
            limit_nano=demand.value_nano[willing],
            tier=demand.tier[willing],
            aged=(step - arrived) * self.day.step_s >= AGED.total_seconds(),
            share_ppm=none,
            placed_us=arrived * self.day.step_s * US_PER_S,
            kind=none,
            kinds=_KINDS,
        )
        offering = selling.tolist()
        asks = Asks(
            ids=[OfferId(self.nodes[node]) for node in offering],
            node_ids=[NodeId(self.nodes[node]) for node in offering],
            version=np.ones(len(offering), np.int64),
            slots=self.free[selling],
            ask_nano=self.asks[selling],
            machines=[self.machines[node] for node in offering],
        )
        return Book(bids, asks, self.spot_nano, reserve_nano=self.spot_nano)

    def totals(self) -> Totals:
        """The day in figures."""
        s = self.series
        arrived, traded, expired = (int(x.sum()) for x in (s.arrived_slots, s.traded_slots, s.expired_slots))
        return Totals(
            orders=int(s.orders.sum()),
            arrived_slots=arrived,
            traded_slots=traded,
            expired_slots=expired,
            waiting_slots=int(self.left[self.waiting].sum()),
            unserved_ppm=expired * PPM // max(1, arrived),
            utilisation_ppm=int(s.busy_slots.sum()) * PPM // (self.day.slots_all * self.day.steps),
            welfare_ppm=share_ppm(int(s.welfare_nano_per_s.sum()), int(s.optimum_nano_per_s.sum())),
            surplus_nano=int(s.surplus_nano.sum()),
            surplus_max_nano=self._surplus_max(),
            spent_nano=int(s.spent_nano.sum()),
            earned_nano=int(s.earned_nano.sum()),
            tiers=tuple(self._outcome(number) for number in range(len(SEGMENTS))),
        )

    def _surplus_max(self) -> int:
        """What the whole day's orders are worth on the cheapest slots, as if none had to wait for its time."""
        day, demand = self.day, self.demand
        if not len(demand.slots):
            return 0
        wanted_s = demand.slots * demand.runs * day.step_s
        open_s = (day.steps + demand.longest) * day.step_s  # what is leased at the end runs on
        return best_welfare(demand.value_nano, wanted_s, self.asks, np.full(day.nodes, day.slots * open_s))

    def _outcome(self, number: int) -> TierOutcome:
        mine = self.demand.segment == number
        arrived, left = int(self.demand.slots[mine].sum()), int(self.left[mine].sum())
        traded = arrived - left
        waits = self.waiting[self.demand.segment[self.waiting] == number]
        return TierOutcome(
            tier=SEGMENTS[number].tier,
            orders=int(mine.sum()),
            arrived_slots=arrived,
            traded_slots=traded,
            expired_slots=left - int(self.left[waits].sum()),
            wait_s=int(self.waited[mine].sum()) * self.day.step_s / traded if traded else None,
        )


def best_welfare(limit_nano: Ints, wanted: Ints, ask_nano: Ints, offered: Ints) -> int:
    """The most that trade can be worth, in nano-credits per second: dearest bids on cheapest asks, slot by slot."""
    dear, cheap = np.argsort(-limit_nano, kind="stable"), np.argsort(ask_nano, kind="stable")
    bid_ends, ask_ends = np.cumsum(wanted[dear]), np.cumsum(offered[cheap])
    ends = np.unique(np.concatenate((bid_ends, ask_ends)))
    ends = ends[ends <= min(bid_ends[-1], ask_ends[-1])]
    starts = np.concatenate(([0], ends[:-1]))
    bid = limit_nano[dear][np.searchsorted(bid_ends, starts, side="right")]
    ask = ask_nano[cheap][np.searchsorted(ask_ends, starts, side="right")]
    return int((np.maximum(bid - ask, 0) * (ends - starts)).sum())
