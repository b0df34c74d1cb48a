"""What incidents are found in: the market's parts as they are at one moment. The rules are in `incident_rules.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from backend.domain.fleet import AgentKind, AgentState
from backend.domain.sla import Measured, Promise

AGENT_SILENT_S = 6.0  # twice what counts as lost: one whose successor is up by then is nobody's worry
STEADY_S = 30.0  # who has lived so long does not loop


@dataclass(frozen=True, slots=True)
class AgentSeen:
    """The youngest agent of a name: how long silent and how old in seconds, and how many of the name died lately."""

    name: str
    kind: AgentKind
    state: AgentState
    silent_s: float
    age_s: float
    deaths: int

    @property
    def lives(self) -> bool:
        """Whether it is there."""
        return self.state in (AgentState.UP, AgentState.DRAINING) and self.silent_s <= AGENT_SILENT_S

    @property
    def is_steady(self) -> bool:
        """Whether it has proven that it can run, or ended as it should."""
        return self.state is AgentState.STOPPED or (self.lives and self.age_s >= STEADY_S)


@dataclass(frozen=True, slots=True)
class QueueSeen:
    """A queue with units that nobody has claimed: how many items, and how long the oldest has waited."""

    queue: str
    items: int
    age_s: float


@dataclass(frozen=True, slots=True)
class BreakerSeen:
    """A breaker that is not closed."""

    name: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class AuditSeen:
    """The newest audit of a mode."""

    mode: str
    ok: bool
    differences: int


@dataclass(frozen=True, slots=True)
class SlaSeen:
    """An open SLA window with what its tier promises."""

    window: UUID
    tier: str
    promise: Promise
    measured: Measured


@dataclass(frozen=True, slots=True)
class FundsSeen:
    """A budget in its current period, or a wallet since money last came in, of which a good part is used."""

    kind: str
    subject: UUID
    account: UUID
    used_nano: int
    limit_nano: int


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """A node in service that no living agent serves: active leases on it, and orders that it lost lately."""

    node: UUID
    name: str
    leases: int
    lost: int


@dataclass(frozen=True, slots=True)
class Observations:
    """All that is looked at, at one moment.

    `wanted` are the replicas of each fleet entry, `looping` members with an open incident of a crash loop.
    """

    agents: Sequence[AgentSeen] = ()
    wanted: Mapping[str, int] | None = None
    looping: Sequence[str] = ()
    queues: Sequence[QueueSeen] = ()
    breakers: Sequence[BreakerSeen] = ()
    audits: Sequence[AuditSeen] = ()
    slas: Sequence[SlaSeen] = ()
    funds: Sequence[FundsSeen] = ()
    nodes: Sequence[NodeSeen] = ()
