"""Work as executors see it: claims with fencing tokens, results, failures, and the limits of one unit."""

from dataclasses import dataclass

from backend.domain.ids import AgentId, ItemId, LeaseId, ModelId, NodeId, UnitId
from backend.domain.records import record
from backend.domain.tensors import Signature

CLAIM_S = 3.0  # an executor that has not beaten for so long has lost its items
BEAT_S = 1.0
AGENT_LOST_S = 3.0
ATTEMPTS_MAX = 3
UNIT_ITEMS_MAX = 500
UNIT_US_MAX = 5_000_000  # estimated slot time of one unit, so that a lost one costs seconds
TRACES_MAX = 16  # orders whose traces a unit remembers
UNITS_PER_SLOT_MAX = 2  # worth of items queued per slot; the rest waits in PostgreSQL, where its order can change
PROFILE_FACTOR = 2  # nobody is billed more than twice the profiled time
PAYLOAD_BYTES_MAX = 1 << 20  # of one item's inputs, and of its outputs
ERROR_CHARS_MAX = 500


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A registered model as a node needs it: where its file is and what it must hash to."""

    model_id: ModelId
    name: str
    version: int
    checksum: str
    uri: str
    signature: Signature


@dataclass(frozen=True, slots=True)
class ClaimedItem:
    """One item in an executor's hand; `fence` must come back with the result."""

    item_id: ItemId
    fence: int
    attempt: int
    node_id: NodeId
    rows: int
    inputs: bytes
    model: ModelRef


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What an executor reports for an item that ran; `busy_us` is the time in the engine."""

    item_id: ItemId
    fence: int
    busy_us: int
    outputs: bytes


@dataclass(frozen=True, slots=True)
class ItemFailure:
    """What an executor reports for an item that did not run."""

    item_id: ItemId
    fence: int
    error: str


@dataclass(frozen=True, slots=True)
class AgentBeat:
    """A sign of life; `queue` and `endpoint` only where the agent serves nodes.

    `work_done` counts what was got done since the start, `work_waiting` says whether there is more at hand, and
    `tick_age_ms` how long ago the last turn of the loop ended (None: there is no loop).
    """

    agent_id: AgentId
    kind: str
    name: str
    host: str
    pid: int
    queue: str | None = None
    endpoint: str | None = None
    token: str | None = None
    work_done: int = 0
    work_waiting: bool = False
    tick_age_ms: int | None = None


@dataclass(frozen=True, slots=True)
class BeatAnswer:
    """What the coordinator wants of an agent."""

    drain: bool


@record(frozen=True, slots=True)
class Dispatch:
    """A message that tells a queue's consumers to claim a unit; `priority` 0 is most urgent.

    `traces` are the W3C `traceparent`s of what caused it, TRACES_MAX of them at most.
    """

    unit_id: UnitId
    queue: str
    priority: int
    traces: tuple[str, ...] = ()


@record(frozen=True, slots=True)
class WaitingItem:
    """An item without a unit; `us_max` is what it may be billed at most, twice what it should take."""

    item_id: ItemId
    us_max: int


@record(frozen=True, slots=True)
class Room:
    """A lease that can take `items` more items of `us_max` microseconds together, and the queue of its node.

    `traceparent` is its order's.
    """

    lease_id: LeaseId
    queue: str
    priority: int
    slots: int
    items: int
    us_max: int
    traceparent: str | None = None


@record(frozen=True, slots=True)
class PackedUnit:
    """A message's worth of items, perhaps of many leases, for one queue."""

    queue: str
    priority: int
    items: tuple[tuple[ItemId, LeaseId], ...]
    traces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """Measured time of a model: a call of n rows takes about `us_per_call` + n × `us_per_row` microseconds."""

    us_per_call: int
    us_per_row: int

    def expected_us(self, rows: int) -> int:
        """What an item of so many rows should take."""
        return self.us_per_call + rows * self.us_per_row

    def worst_case_us(self, rows: int) -> int:
        """What an item of so many rows is billed at most, whatever a node reports."""
        return PROFILE_FACTOR * self.expected_us(rows)


def share(items: list[WaitingItem], rooms: list[Room]) -> list[tuple[Room, list[WaitingItem]]]:
    """Spread an order's items over its leases by their slots, as far as each has room; the rest goes on waiting."""
    shares: list[tuple[Room, list[WaitingItem]]] = []
    slots, slots_seen, start = sum(room.slots for room in rooms), 0, 0
    for room in rooms:
        slots_seen += room.slots
        fair_end = -(-len(items) * slots_seen // slots)
        end, us = start, 0
        while room.us_max > 0 and end < fair_end and end - start < room.items:
            us += items[end].us_max
            if us > room.us_max and end > start:
                break
            end += 1
        if end > start:
            shares.append((room, items[start:end]))
        start = end
    return shares


def pack(shares: list[tuple[Room, list[WaitingItem]]]) -> list[PackedUnit]:
    """Put items into as few units as the limits of one unit allow: one message carries many orders' work."""
    open_units: dict[tuple[str, int], _OpenUnit] = {}
    full: list[PackedUnit] = []
    for room, items in shares:
        key = (room.queue, room.priority)
        for item in items:
            unit = open_units.get(key)
            if unit is not None and unit.is_full(item):
                full.append(unit.packed(*key))
                unit = None
            if unit is None:
                unit = open_units[key] = _OpenUnit()
            unit.items.append((item.item_id, room.lease_id))
            unit.us_max += item.us_max
            unit.traces[room.traceparent] = None
    return full + [unit.packed(*key) for key, unit in open_units.items()]


class _OpenUnit:
    """A unit that may take more items."""

    __slots__ = ("items", "traces", "us_max")

    def __init__(self) -> None:
        self.items: list[tuple[ItemId, LeaseId]] = []
        self.us_max = 0
        self.traces: dict[str | None, None] = {}

    def is_full(self, item: WaitingItem) -> bool:
        """Whether `item` is too much for it; a first one never is."""
        return len(self.items) == UNIT_ITEMS_MAX or self.us_max + item.us_max > UNIT_US_MAX * PROFILE_FACTOR

    def packed(self, queue: str, priority: int) -> PackedUnit:
        """All of it."""
        traces = tuple(trace for trace in self.traces if trace is not None)[:TRACES_MAX]
        return PackedUnit(queue, priority, tuple(self.items), traces)
