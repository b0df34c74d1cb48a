"""Sessions without a market, for lines that are tested without one."""

from datetime import UTC, datetime, timedelta

from backend.domain.access import Spender
from backend.domain.ids import AccountId, LeaseId, NodeId
from backend.domain.leases import WINDOW_S
from backend.gateway.leases.session import Session, SessionKey
from backend.storage.ids import new_id

START = datetime(2030, 1, 1, tzinfo=UTC)
PRICE_NANO = 1_000_000
KEY = SessionKey(Spender(AccountId(new_id())), "digits", "medium")


def session(name: str, price_nano: int = PRICE_NANO) -> Session:
    """A session on a node of its own, paid for its first window."""
    return Session(
        key=KEY,
        lease_id=LeaseId(new_id()),
        node_id=NodeId(new_id()),
        node_name=name,
        endpoint=f"http://{name}:1",
        token="t",
        slots=1,
        price_nano_per_slot_s=price_nano,
        granted_at=START,
        window_ends_at=START + timedelta(seconds=WINDOW_S),
        used_at=START,
    )
