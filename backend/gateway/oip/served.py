"""What came of a request that a leased node answered."""

from dataclasses import dataclass

from backend.domain.tensors import Outputs
from backend.gateway.leases.session import Session


@dataclass(frozen=True, slots=True)
class Served:
    """A node's answer, the session that it came from, on which attempt, and when that one was sent."""

    outputs: Outputs
    session: Session
    attempts: int
    sent_ns: int  # of time.perf_counter_ns
    charge_nano: int | None = None  # of this request; None: its session is paid for by time
