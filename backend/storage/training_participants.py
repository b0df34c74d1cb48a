"""Who takes part in a round, and how each one's order and work item stand; the job's row is locked first."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.federated.states import ParticipantState
from backend.domain.ids import ItemId, NodeId, OrderId, ParticipantId, RoundId, TrainingJobId
from backend.domain.leases import ItemState
from backend.domain.orders import CloseReason, OrderState
from backend.storage.nodes import ALIVE, alive_since
from backend.storage.rows import insert_rows, update_rows, values_of
from backend.storage.tables import TrainingParticipantRow


@dataclass(frozen=True, slots=True)
class Participant:
    """A participant's row."""

    id: ParticipantId
    round_id: RoundId
    job_id: TrainingJobId
    node_id: NodeId
    order_id: OrderId
    state: ParticipantState
    asked_at: datetime
    reason: str | None = None
    examples: int | None = None
    update_sha256: str | None = None
    metrics: Mapping[str, float] | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """A participant with its order and work item as they are; `outputs` are what it reported, as its item has them, and
    `committed_at` when; `billed_us` is how long that took, as far as it counts.

    `node_alive` is whether its node could be leased: an agent that serves it is up and has beaten lately.
    """

    participant: Participant
    order_state: OrderState
    order_reason: CloseReason | None
    charged_nano: int
    item_id: ItemId
    item_state: ItemState
    fence: int
    outputs: bytes | None
    billed_us: int | None
    committed_at: datetime | None
    error: str | None
    node_alive: bool
    node_name: str


_FIELDS = tuple(Participant.__dataclass_fields__)
_PARTICIPANT = ", ".join(f"p.{name}" for name in _FIELDS)


class TrainingParticipantRepository:
    """Participants by round."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, participants: Sequence[Participant]) -> None:
        """Record whom a round asks."""
        insert_rows(self._connection, TrainingParticipantRow, [_row(one) for one in participants])

    def write(self, participants: Sequence[Participant]) -> None:
        """Record participants as they are now."""
        update_rows(self._connection, TrainingParticipantRow, [_row(one) for one in participants])

    def of_round(self, round_id: RoundId, *, for_update: bool = False) -> list[Participant]:
        """The participants of a round, in the order in which they were asked."""
        lock = "FOR UPDATE" if for_update else ""
        rows = self._connection.execute(
            text(f"SELECT {_PARTICIPANT} FROM training_participants p WHERE p.round_id = :round ORDER BY p.id {lock}"),
            {"round": round_id},
        )
        return [_participant(list(row)) for row in rows]

    def standings(self, round_id: RoundId, now: datetime) -> list[Standing]:
        """All participants of a round as they stand, in the order in which they were asked; one statement."""
        rows: Any = self._connection.execute(
            text(f"""
                SELECT {_PARTICIPANT}, o.state AS order_state, o.reason AS order_reason, o.charged_nano,
                       i.id AS item_id, i.state AS item_state, i.fence, i.outputs, i.billed_us, i.committed_at,
                       i.error,
                       {ALIVE} AS node_alive, n.name AS node_name
                FROM training_participants p
                JOIN orders o ON o.id = p.order_id JOIN work_items i ON i.order_id = o.id
                JOIN nodes n ON n.id = p.node_id
                WHERE p.round_id = :round ORDER BY p.id
            """),
            {"round": round_id, "alive_since": alive_since(now)},
        )
        return [_standing(list(row)) for row in rows]

    def counts(self, rounds: Collection[RoundId]) -> dict[RoundId, Counter[ParticipantState]]:
        """How many participants of each round are in each state; all rounds in one statement."""
        rows: Any = self._connection.execute(
            text(
                "SELECT round_id, state, count(*) FROM training_participants WHERE round_id = ANY(:ids) GROUP BY 1, 2"
            ),
            {"ids": list(rounds)},
        )
        found: dict[RoundId, Counter[ParticipantState]] = {one: Counter() for one in rounds}
        for round_id, state, count in rows:
            found[round_id][ParticipantState(state)] = count
        return found

    def charged_of(self, rounds: Collection[RoundId]) -> dict[RoundId, int]:
        """What each round was charged so far, in nano-credits."""
        rows = self._connection.execute(
            text(
                "SELECT p.round_id, sum(o.charged_nano)::bigint AS charged FROM training_participants p"
                " JOIN orders o ON o.id = p.order_id WHERE p.round_id = ANY(:ids) GROUP BY p.round_id"
            ),
            {"ids": list(rounds)},
        )
        return dict.fromkeys(rounds, 0) | {row.round_id: row.charged for row in rows}


def _participant(values: list[Any]) -> Participant:
    named = dict(zip(_FIELDS, values, strict=True))
    return Participant(**named | {"state": ParticipantState(named["state"])})


def _standing(values: list[Any]) -> Standing:
    order_state, order_reason, charged_nano, item_id, item_state, *rest = values[len(_FIELDS) :]
    return Standing(
        _participant(values[: len(_FIELDS)]),
        OrderState(order_state),
        order_reason and CloseReason(order_reason),
        charged_nano,
        item_id,
        ItemState(item_state),
        *rest,
    )


def _row(one: Participant) -> dict[str, Any]:
    metrics = None if one.metrics is None else dict(one.metrics)
    return values_of(one) | {"state": str(one.state), "metrics": metrics}
