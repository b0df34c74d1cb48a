"""One transaction and the repositories that work in it; rolls back unless `commit` was called."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError, TimeoutError

from backend.domain.errors import Unavailable
from backend.domain.events import Event
from backend.storage.accounts import AccountRepository, KeyRepository
from backend.storage.agents import AgentRepository, FleetRepository
from backend.storage.audit import AuditRepository
from backend.storage.changes import ChangeRepository
from backend.storage.idempotency import IdempotencyRepository
from backend.storage.leases import LeaseRepository
from backend.storage.ledger import LedgerRepository
from backend.storage.markets import MarketRepository
from backend.storage.models import ModelRepository
from backend.storage.nodes import NodeRepository, OfferRepository
from backend.storage.orders import OrderRepository
from backend.storage.outbox import OutboxRepository
from backend.storage.sessions import SessionRepository
from backend.storage.work import WorkRepository

Publish = Callable[[Sequence[Event]], None]


class UnitOfWork:
    """`with uow: …; uow.commit()`. Events are published after the commit: they are hints, so losing one is harmless.

    A database that is away, or goes away meanwhile, is Unavailable(`coordinator_unreachable`).
    """

    def __init__(self, engine: Engine, publish: Publish) -> None:
        self._engine = engine
        self._publish = publish
        self._events: dict[Event, None] = {}

    def __enter__(self) -> Self:
        try:
            self._use(self._engine.connect())
        except (OperationalError, TimeoutError) as error:
            raise _away() from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._events.clear()
        self.connection.close()  # rolls back what was not committed
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise _away() from error

    def commit(self) -> None:
        """Make everything durable, then tell whoever listens."""
        self.connection.commit()
        events, self._events = tuple(self._events), {}
        if events:
            self._publish(events)

    def emit(self, event: Event) -> None:
        """Remember an event for after the commit; the same one twice is sent once."""
        self._events[event] = None

    def _use(self, connection: Connection) -> None:
        self.connection = connection
        self.accounts = AccountRepository(connection)
        self.keys = KeyRepository(connection)
        self.ledger = LedgerRepository(connection)
        self.audit = AuditRepository(connection)
        self.nodes = NodeRepository(connection)
        self.offers = OfferRepository(connection)
        self.markets = MarketRepository(connection)
        self.models = ModelRepository(connection)
        self.orders = OrderRepository(connection)
        self.leases = LeaseRepository(connection)
        self.sessions = SessionRepository(connection)
        self.work = WorkRepository(connection)
        self.outbox = OutboxRepository(connection)
        self.agents = AgentRepository(connection)
        self.fleet = FleetRepository(connection)
        self.idempotency = IdempotencyRepository(connection)
        self.changes = ChangeRepository(connection)


def _away() -> Unavailable:
    return Unavailable("the database does not answer", code="coordinator_unreachable", accepted="try again")
