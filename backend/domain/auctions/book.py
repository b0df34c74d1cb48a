"""A market's book in columns, one array an attribute, in the order of ids: what mechanisms clear and epochs log."""

import hashlib
import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from backend.domain.auctions.rows import Ask, Bid
from backend.domain.errors import Invalid
from backend.domain.ids import ModelId, NodeId, OfferId, OrderId
from backend.domain.machines import Machine, Needs, needs_of
from backend.domain.money import AMOUNT_NANO_MAX
from backend.domain.orders import Strategy
from backend.domain.records import record

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

AGED = timedelta(seconds=60)  # an order that has waited for so long goes before all younger ones of its tier
SLOTS_MAX = 1 << 20
TIER_MAX = 1 << 20  # a place in line holds the tier, whether it has aged, and the share in 64 bits
SHARE_PPM_MAX = (1 << 40) - 1
VERSION_MAX = (1 << 31) - 1
_STRATEGIES = tuple(Strategy)


@dataclass(frozen=True, slots=True, eq=False)
class Bids:
    """Open orders. `kind` points into `kinds`: what an order needs, prefers, and wants to run."""

    ids: Sequence[OrderId]
    slots: Ints
    limit_nano: Ints
    tier: Ints
    aged: Flags
    share_ppm: Ints
    placed_us: Ints
    kind: Ints
    kinds: tuple["Kind", ...]

    def __len__(self) -> int:
        return len(self.ids)


@record(frozen=True, slots=True)
class Kind:
    """What orders of one kind have in common, as far as nodes are concerned."""

    needs: Needs
    strategy: Strategy
    model_id: ModelId | None


@dataclass(frozen=True, slots=True, eq=False)
class Asks:
    """Open offers and the machines behind them."""

    ids: Sequence[OfferId]
    node_ids: Sequence[NodeId]
    version: Ints
    slots: Ints
    ask_nano: Ints
    machines: Sequence[Machine]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Book:
    """All bids and asks of one market at one moment, its spot price, and the slots that tiers are still short of.

    Nothing is sold below `reserve_nano` or above `cap_nano` per slot-second. `reserved` maps a tier's rank to how many
    of the free slots it goes first for, when there are too few for all.
    """

    bids: Bids
    asks: Asks
    spot_nano: int
    reserved: Mapping[int, int] = field(default_factory=dict)
    reserve_nano: int = 1
    cap_nano: int = AMOUNT_NANO_MAX

    @staticmethod
    def of(
        bids: Iterable[Bid],
        asks: Iterable[Ask],
        spot_nano: int,
        at: datetime | None = None,
        reserved: Mapping[int, int] | None = None,
        reserve_nano: int = 1,
        cap_nano: int = AMOUNT_NANO_MAX,
    ) -> "Book":
        """The book of these rows at a moment, by which orders have aged; raises Invalid for what cannot be cleared."""
        bid_rows = sorted(bids, key=lambda bid: bid.order_id)
        ask_rows = sorted(asks, key=lambda ask: ask.offer_id)
        kinds: dict[Kind, int] = {}
        kind = [kinds.setdefault(Kind(b.needs, b.strategy, b.model_id), len(kinds)) for b in bid_rows]
        aged_us = _us(at - AGED) if at else None
        placed_us = _column([_us(b.placed_at) for b in bid_rows])
        book = Book(
            Bids(
                [b.order_id for b in bid_rows],
                _checked("slots", [b.slots for b in bid_rows], 1, SLOTS_MAX),
                _checked("limit_nano", [b.limit_nano for b in bid_rows], 1, AMOUNT_NANO_MAX),
                _checked("tier", [b.tier for b in bid_rows], 0, TIER_MAX),
                placed_us <= aged_us if aged_us is not None else np.zeros(len(bid_rows), bool),
                _checked("share_ppm", [b.share_ppm for b in bid_rows], 0, SHARE_PPM_MAX),
                placed_us,
                _column(kind),
                tuple(kinds),
            ),
            Asks(
                [a.offer_id for a in ask_rows],
                [a.node_id for a in ask_rows],
                _checked("version", [a.version for a in ask_rows], 0, VERSION_MAX),
                _checked("slots", [a.slots for a in ask_rows], 0, SLOTS_MAX),
                _checked("ask_nano", [a.ask_nano for a in ask_rows], 1, AMOUNT_NANO_MAX),
                [a.machine or Machine(a.node_id, a.slots) for a in ask_rows],
            ),
            spot_nano,
            dict(sorted((reserved or {}).items())),
            reserve_nano,
            cap_nano,
        )
        _checked("spot_nano", [spot_nano], 1, AMOUNT_NANO_MAX)
        _checked("reserve_nano", [reserve_nano], 1, AMOUNT_NANO_MAX)
        _checked("cap_nano", [cap_nano], reserve_nano, AMOUNT_NANO_MAX)
        return book

    @cached_property
    def locality(self) -> tuple[Ints | None, Mapping[ModelId, Flags]]:
        """Latency of each ask's node, None if one is as good as another, and which asks' nodes have which model."""
        machines = self.asks.machines
        latency_ms = np.array([machine.latency_ms for machine in machines], np.int64)
        holders: dict[ModelId, Flags] = {}
        for row, machine in enumerate(machines):
            for model in machine.models:
                holders.setdefault(model, np.zeros(len(machines), bool))[row] = True
        wanted = {kind.model_id for kind in self.bids.kinds}
        holders = {model: flags for model, flags in holders.items() if model in wanted}
        same = not holders and (not len(latency_ms) or bool((latency_ms == latency_ms[0]).all()))
        return (None if same else latency_ms), holders

    @cached_property
    def _columns(self) -> dict[str, NDArray[Any]]:
        """Everything that a clearing depends on, as named arrays of plain numbers."""
        b, a = self.bids, self.asks
        return {
            "bid_id": _id_bytes(b.ids),
            "bid_slots": b.slots,
            "bid_limit_nano": b.limit_nano,
            "bid_tier": b.tier,
            "bid_aged": b.aged.astype(np.uint8),
            "bid_share_ppm": b.share_ppm,
            "bid_placed_us": b.placed_us,
            "bid_kind": b.kind,
            "ask_id": _id_bytes(a.ids),
            "ask_node_id": _id_bytes(a.node_ids),
            "ask_version": a.version,
            "ask_slots": a.slots,
            "ask_nano": a.ask_nano,
            "rest": np.frombuffer(self._rest(), np.uint8),
        }

    def _rest(self) -> bytes:
        kinds = [[k.needs.wire(), str(k.strategy), k.model_id and str(k.model_id)] for k in self.bids.kinds]
        machines = [_machine_wire(machine) for machine in self.asks.machines]
        rest = {
            "prices": [self.spot_nano, self.reserve_nano, self.cap_nano],
            "reserved": list(self.reserved.items()),
            "kinds": kinds,
            "machines": machines,
        }
        return json.dumps(rest, sort_keys=True).encode()

    def digest(self) -> bytes:
        """SHA-256 of the book: published at once, so that nobody can rewrite it later."""
        found = hashlib.sha256()
        for name, column in self._columns.items():
            found.update(f"{name} {column.dtype} {column.shape} ".encode())
            found.update(np.ascontiguousarray(column).tobytes())
        return found.digest()

    def dump(self) -> bytes:
        """The book as a line of JSON that names its columns, and then their numbers as they are; compressed."""
        columns = {name: np.ascontiguousarray(column) for name, column in self._columns.items()}
        head = json.dumps([[name, str(column.dtype), column.shape] for name, column in columns.items()])
        return zlib.compress(b"\n".join([head.encode(), b"".join(c.tobytes() for c in columns.values())]), 1)

    @staticmethod
    def load(dumped: bytes) -> "Book":
        """The inverse of `dump`; raises Invalid(`invalid_book`) for anything else."""
        try:
            head, _, data = zlib.decompress(dumped).partition(b"\n")
            columns, start = {}, 0
            for name, dtype, shape in json.loads(head):
                columns[name] = np.frombuffer(data, dtype, math.prod(shape), start).reshape(shape)
                start += columns[name].nbytes
            return _book(columns)
        except (ValueError, KeyError, TypeError, zlib.error) as error:
            raise Invalid("the book cannot be read", code="invalid_book", field="book", accepted="a dump") from error


def _book(columns: Mapping[str, NDArray[Any]]) -> Book:
    rest = json.loads(columns["rest"].tobytes())
    kinds = tuple(
        Kind(needs_of(needs), Strategy(strategy), ModelId(UUID(model)) if model else None)
        for needs, strategy, model in rest["kinds"]
    )
    bids = Bids(
        [OrderId(id_) for id_ in _ids(columns["bid_id"])],
        columns["bid_slots"],
        columns["bid_limit_nano"],
        columns["bid_tier"],
        columns["bid_aged"].astype(bool),
        columns["bid_share_ppm"],
        columns["bid_placed_us"],
        columns["bid_kind"],
        kinds,
    )
    nodes = [NodeId(id_) for id_ in _ids(columns["ask_node_id"])]
    asks = Asks(
        [OfferId(id_) for id_ in _ids(columns["ask_id"])],
        nodes,
        columns["ask_version"],
        columns["ask_slots"],
        columns["ask_nano"],
        [_machine(node, wire) for node, wire in zip(nodes, rest["machines"], strict=True)],
    )
    spot, reserve, cap = rest["prices"]
    return Book(bids, asks, spot, {int(tier): int(slots) for tier, slots in rest["reserved"]}, reserve, cap)


# What providers state of machines and what was measured, in the order in which it is written down.
_STATED = (
    "slots",
    "busy_slots",
    "cores",
    "memory_mb",
    "gpu_model",
    "gpu_memory_mb",
    "accelerators",
    "residency",
    "latency_ms",
    "trust_ppm",
)


def _machine_wire(machine: Machine) -> list[Any]:
    return [*(getattr(machine, name) for name in _STATED), sorted(str(model) for model in machine.models)]


def _machine(node_id: NodeId, wire: list[Any]) -> Machine:
    stated = dict(zip(_STATED, wire, strict=False))
    return Machine(node_id, **stated, models=frozenset(ModelId(UUID(model)) for model in wire[-1]))


def _us(moment: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _column(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def _checked(field_name: str, values: Sequence[int], low: int, high: int) -> Ints:
    found = np.array(values or [low])  # a fraction, or more than 64 bits, makes it an array of another kind
    if found.dtype.kind != "i" or found.min() < low or found.max() > high:
        raise Invalid(
            f"a {field_name} is out of range",
            code=f"invalid_{field_name}",
            field=field_name,
            accepted=f"{low} to {high}",
        )
    return _column(values)


def _id_bytes(ids: Sequence[UUID]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(id_.bytes for id_ in ids), np.uint8).reshape(-1, 16)


def _ids(rows: NDArray[np.uint8]) -> list[UUID]:
    return [UUID(bytes=row.tobytes()) for row in rows]
