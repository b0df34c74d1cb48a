"""A queue and its replicas in simulated time, for policies to be judged by: each replica runs one item at a time."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

from backend.domain.scaling import Bounds, Cause, Observation, Record, ScalingPolicy, decide

START = datetime(2026, 1, 1, tzinfo=UTC)
STEP_S = 0.1
LOOK_S = 2.0
START_S = 2.5  # from the wish to a replica that works
ARRIVALS_S = 10.0


@dataclass
class Replica:
    """One worker: when it can begin, the item that it has, and whether it has been told to leave."""

    ready_s: float
    item_ends_s: float | None = None
    item_waited_s: float = 0.0
    leaving: bool = False


@dataclass
class Played:
    """What happened; `history` is (second, replicas wanted)."""

    history: list[tuple[float, int]] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    removed_while_busy: int = 0
    left: int = 0

    @property
    def most(self) -> int:
        """The most replicas that were wanted."""
        return max(replicas for _, replicas in self.history)

    def changes(self) -> list[tuple[float, int]]:
        """When the number changed, and by how many."""
        pairs = pairwise(self.history)
        return [(at, after - before) for (_, before), (at, after) in pairs if after != before]

    def flaps(self) -> int:
        """How often the direction of the changes turned."""
        signs = [by > 0 for _, by in self.changes()]
        return sum(a != b for a, b in pairwise(signs))

    def settled_s(self, after_s: float, until_s: float = math.inf) -> float:
        """Seconds from `after_s` to the last change before `until_s`."""
        return max((at - after_s for at, _ in self.changes() if after_s <= at < until_s), default=0.0)

    def wait_s_p95(self) -> float:
        """The wait that 95% of the items did not exceed."""
        ordered = sorted(self.waits_s)
        return ordered[int(0.95 * (len(ordered) - 1))] if ordered else 0.0


def play(
    policy: ScalingPolicy,
    load: Callable[[float], float],
    *,
    seconds: float,
    item_s: float = 0.5,
    replicas: int = 1,
    least: int = 0,
    most: int = 50,
    seed: int | None = 1,
    item_of: Callable[[int], float] | None = None,
) -> Played:
    """Run `load` (items a second at a second) against the policy; `seed` None spaces arrivals evenly."""
    random = Random(seed)
    played, record = Played(), Record()
    crew = [Replica(0.0) for _ in range(replicas)]
    queue: deque[tuple[float, float]] = deque()
    arrived: deque[tuple[float, int]] = deque()
    wanted, owed, number, unserved, next_look_s, looked_s = replicas, 0.0, 0, 0, 0.0, 0.0
    for tick in range(int(seconds / STEP_S)):
        at = tick * STEP_S
        owed += load(at) * STEP_S
        coming = int(owed) if seed is None else _poisson(random, load(at) * STEP_S)
        owed -= int(owed)
        for _ in range(coming):
            queue.append((at, item_of(number) if item_of else item_s))
            number += 1
        # Units are made when somebody lives to take them: what waited for that arrives all at once.
        unserved += coming
        if any(replica.ready_s <= at and not replica.leaving for replica in crew):
            arrived.append((at, unserved))
            unserved = 0
        while arrived and arrived[0][0] <= at - ARRIVALS_S:
            arrived.popleft()
        for replica in crew:
            if replica.item_ends_s is not None and replica.item_ends_s <= at + 1e-9:
                replica.item_ends_s = None
            if replica.item_ends_s is None and not replica.leaving and replica.ready_s <= at and queue:
                since_s, lasts_s = queue.popleft()
                replica.item_waited_s = at - since_s
                replica.item_ends_s = at + lasts_s
                played.waits_s.append(at - since_s)
        crew = [replica for replica in crew if not (replica.leaving and replica.item_ends_s is None)]
        if at + 1e-9 < next_look_s:
            continue
        next_look_s += LOOK_S
        seen = _observe(at, crew, queue, [count for _, count in arrived], sum(c for t, c in arrived if t > looked_s))
        looked_s = at
        decision, record = decide(policy, Bounds(wanted, least, most), record, seen)
        wanted = decision.replicas
        played.history.append((at, wanted))
        played.causes.append(decision.cause)
        staying = [replica for replica in crew if not replica.leaving]
        crew += [Replica(at + START_S) for _ in range(wanted - len(staying))]
        # As the manager chooses: the idle go first; one that is busy would only be told to leave when it is done.
        by_idleness = sorted(staying, key=lambda replica: replica.item_ends_s is not None)
        for replica in by_idleness[: max(0, len(staying) - wanted)]:
            replica.leaving = True
            played.removed_while_busy += replica.item_ends_s is not None
    played.left = len(queue) + sum(replica.item_ends_s is not None for replica in crew)
    return played


def _observe(
    at: float, crew: list[Replica], queue: deque[tuple[float, float]], lately: list[int], since_looked: int
) -> Observation:
    busy = [replica for replica in crew if replica.item_ends_s is not None]
    waits = sorted([at - since_s for since_s, _ in queue] + [replica.item_waited_s for replica in busy])
    living = sum(replica.ready_s <= at and not replica.leaving for replica in crew)
    return Observation(
        START + timedelta(seconds=at),
        len(queue) if living else 0,
        len(busy),
        sum(lately) / ARRIVALS_S if living else 0.0,
        int(1_000 * waits[int(0.95 * (len(waits) - 1))]) if waits else 0,
        living,
        len(busy),
        0 if living else len(queue),
        since_looked,
    )


def _poisson(random: Random, mean: float) -> int:
    """Knuth's method: good for small means."""
    limit, count, product = math.exp(-mean), 0, random.random()
    while product > limit:
        count += 1
        product *= random.random()
    return count
