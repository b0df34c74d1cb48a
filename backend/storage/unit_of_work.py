"""One transaction and the repositories that work in it; rolls back unless `commit` was called."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, Self, TypeVar

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError, TimeoutError

from backend.domain.errors import Unavailable
from backend.domain.events import Event
from backend.storage.account_deliveries import AccountDeliveryRepository
from backend.storage.accounts import AccountRepository
from backend.storage.activity import ActivityRepository
from backend.storage.agents import AgentRepository
from backend.storage.alerts import AlertRepository
from backend.storage.allowances import AllowanceRepository
from backend.storage.api_keys import KeyRepository
from backend.storage.audit import AuditRepository
from backend.storage.audit_runs import AuditRunRepository
from backend.storage.backups import BackupRepository
from backend.storage.balance import BalanceRepository
from backend.storage.batch_chunks import BatchChunkRepository
from backend.storage.batches import BatchRepository
from backend.storage.budgets import BudgetRepository
from backend.storage.changes import ChangeRepository
from backend.storage.checkpoints import CheckpointRepository
from backend.storage.contention import busy, is_contention
from backend.storage.dead_letters import DeadLetterRepository
from backend.storage.deliveries import DeliveryRepository
from backend.storage.depth import DepthRepository
from backend.storage.disputes import DisputeRepository
from backend.storage.documents import DocumentRepository
from backend.storage.earnings import EarningsRepository
from backend.storage.epochs import EpochRepository
from backend.storage.external_nodes import ExternalNodeRepository
from backend.storage.facts import FactRepository
from backend.storage.fees import FeeRepository
from backend.storage.figures import FigureRepository
from backend.storage.files import FileRepository
from backend.storage.fingerprints import FingerprintRepository
from backend.storage.fleet import FleetRepository
from backend.storage.forgetting import ForgettingRepository
from backend.storage.idempotency import IdempotencyRepository
from backend.storage.incidents import IncidentRepository
from backend.storage.interruptions import InterruptionRepository
from backend.storage.joining import JoiningRepository
from backend.storage.joint_tasks import JointTaskRepository
from backend.storage.judged_items import JudgedItemRepository
from backend.storage.leases import LeaseRepository
from backend.storage.ledger import LedgerRepository
from backend.storage.loads import LoadRepository
from backend.storage.log import LogRepository
from backend.storage.market_rules import MarketRuleRepository
from backend.storage.markets import MarketRepository
from backend.storage.metering import MeteringRepository
from backend.storage.model_uploads import ModelUploadRepository
from backend.storage.models import ModelRepository
from backend.storage.named_leases import NamedLeaseRepository
from backend.storage.node_work import NodeWorkRepository
from backend.storage.nodes import NodeRepository, OfferRepository
from backend.storage.observations import ObservationRepository
from backend.storage.order_webhooks import OrderWebhookRepository
from backend.storage.orders import OrderRepository
from backend.storage.organisations import OrganisationRepository
from backend.storage.outbox import OutboxRepository
from backend.storage.payouts import PayoutRepository
from backend.storage.price_points import PricePointRepository
from backend.storage.private_orders import PrivateOrderRepository
from backend.storage.queues import QueueRepository
from backend.storage.rates import RateRepository
from backend.storage.regions import RegionRepository
from backend.storage.replacements import ReplacementRepository
from backend.storage.rows import driver_of
from backend.storage.sealing_keys import SealingKeyRepository
from backend.storage.sessions import SessionRepository
from backend.storage.sla import SlaRepository
from backend.storage.statements import StatementRepository
from backend.storage.tiers import TierRepository
from backend.storage.training_jobs import TrainingJobRepository
from backend.storage.training_nodes import TrainingNodeRepository
from backend.storage.training_participants import TrainingParticipantRepository
from backend.storage.training_rounds import TrainingRoundRepository
from backend.storage.trust import TrustRepository
from backend.storage.work import WorkRepository

Publish = Callable[[Sequence[Event]], None]
Outdate = Callable[[Mapping[str, int]], None]
Kind = TypeVar("Kind")


class Repository(Generic[Kind]):
    """A repository of the open transaction, made when it is asked for."""

    def __init__(self, kind: Callable[[Connection], Kind]) -> None:
        self._kind = kind

    def __get__(self, uow: "UnitOfWork", _: type["UnitOfWork"]) -> Kind:
        return self._kind(uow.connection)


class UnitOfWork:
    """`with uow: …; uow.commit()`. Events are published after the commit: they are hints, so losing one is harmless.

    A database that is away, or goes away meanwhile, is Unavailable(`coordinator_unreachable`); a transaction that
    PostgreSQL gave up in favour of others is Contention, and may be tried again with the same unit of work.
    """

    connection: Connection

    account_deliveries = Repository(AccountDeliveryRepository)
    accounts = Repository(AccountRepository)
    activity = Repository(ActivityRepository)
    agents = Repository(AgentRepository)
    alerts = Repository(AlertRepository)
    allowances = Repository(AllowanceRepository)
    audit = Repository(AuditRepository)
    audit_runs = Repository(AuditRunRepository)
    backups = Repository(BackupRepository)
    balance = Repository(BalanceRepository)
    batch_chunks = Repository(BatchChunkRepository)
    batches = Repository(BatchRepository)
    budgets = Repository(BudgetRepository)
    changes = Repository(ChangeRepository)
    checkpoints = Repository(CheckpointRepository)
    dead_letters = Repository(DeadLetterRepository)
    deliveries = Repository(DeliveryRepository)
    depth = Repository(DepthRepository)
    disputes = Repository(DisputeRepository)
    documents = Repository(DocumentRepository)
    earnings = Repository(EarningsRepository)
    epochs = Repository(EpochRepository)
    external_nodes = Repository(ExternalNodeRepository)
    facts = Repository(FactRepository)
    fees = Repository(FeeRepository)
    figures = Repository(FigureRepository)
    files = Repository(FileRepository)
    fingerprints = Repository(FingerprintRepository)
    fleet = Repository(FleetRepository)
    forgetting = Repository(ForgettingRepository)
    idempotency = Repository(IdempotencyRepository)
    incidents = Repository(IncidentRepository)
    interruptions = Repository(InterruptionRepository)
    joining = Repository(JoiningRepository)
    joint_tasks = Repository(JointTaskRepository)
    judged_items = Repository(JudgedItemRepository)
    keys = Repository(KeyRepository)
    leases = Repository(LeaseRepository)
    ledger = Repository(LedgerRepository)
    loads = Repository(LoadRepository)
    log = Repository(LogRepository)
    market_rules = Repository(MarketRuleRepository)
    markets = Repository(MarketRepository)
    metering = Repository(MeteringRepository)
    model_uploads = Repository(ModelUploadRepository)
    models = Repository(ModelRepository)
    named_leases = Repository(NamedLeaseRepository)
    node_work = Repository(NodeWorkRepository)
    nodes = Repository(NodeRepository)
    observations = Repository(ObservationRepository)
    offers = Repository(OfferRepository)
    order_webhooks = Repository(OrderWebhookRepository)
    orders = Repository(OrderRepository)
    organisations = Repository(OrganisationRepository)
    outbox = Repository(OutboxRepository)
    payouts = Repository(PayoutRepository)
    price_points = Repository(PricePointRepository)
    private_orders = Repository(PrivateOrderRepository)
    queues = Repository(QueueRepository)
    rates = Repository(RateRepository)
    regions = Repository(RegionRepository)
    replacements = Repository(ReplacementRepository)
    sealing_keys = Repository(SealingKeyRepository)
    sessions = Repository(SessionRepository)
    sla = Repository(SlaRepository)
    statements = Repository(StatementRepository)
    tiers = Repository(TierRepository)
    training_jobs = Repository(TrainingJobRepository)
    training_nodes = Repository(TrainingNodeRepository)
    training_participants = Repository(TrainingParticipantRepository)
    training_rounds = Repository(TrainingRoundRepository)
    trust = Repository(TrustRepository)
    work = Repository(WorkRepository)

    def __init__(self, engine: Engine, publish: Publish, outdate: Outdate | None = None) -> None:
        self._engine = engine
        self._publish = publish
        self._outdate = outdate
        self._events: dict[Event, None] = {}
        self._outdated: dict[str, int] = {}

    def __enter__(self) -> Self:
        try:
            self.connection = self._engine.connect()
        except (OperationalError, TimeoutError) as error:
            raise _away() from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._events.clear()
        self._outdated.clear()
        self.connection.close()  # rolls back what was not committed
        if is_contention(error):
            raise busy() from error
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise _away() from error

    @contextmanager
    def single(self) -> Iterator[Self]:
        """For one statement by the driver itself that is a transaction of its own: nothing to commit.

        Two round trips less than a transaction, and half of what SQLAlchemy adds to a statement (measured).
        """
        with self:
            driver = driver_of(self.connection)
            driver.autocommit = True
            try:
                yield self
                driver.autocommit = False
            except psycopg.OperationalError as error:
                if is_contention(error):
                    driver.autocommit = False
                    raise busy() from error
                self.connection.invalidate()
                raise _away() from error

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Statements in it are sent, and nobody waits for their outcome: the database works while the caller goes on.

        Only for such as return nothing. What fails is raised by a later one or at the end, as the driver's error.
        """
        driver = driver_of(self.connection)
        try:
            with driver.pipeline():
                yield
        except psycopg.OperationalError as error:
            if not driver.broken:
                raise
            self.connection.invalidate()
            raise _away() from error

    def commit(self) -> None:
        """Make everything durable, then tell whoever listens."""
        self._tell_outdated()  # before, so that a process that ends right after the commit leaves nothing stale
        self.connection.commit()
        self._tell_outdated()  # and after, should the cache have forgotten it meanwhile
        self._outdated.clear()
        events, self._events = tuple(self._events), {}
        if events:
            self._publish(events)

    def outdate(self, name: str, revision: int) -> None:
        """Let no shared cache show what it has of a name, or take what is older than this revision, from now on."""
        self._outdated[name] = revision

    def _tell_outdated(self) -> None:
        if self._outdated and self._outdate:
            self._outdate(self._outdated)

    def emit(self, event: Event) -> None:
        """Remember an event for after the commit; the same one twice is sent once."""
        self._events[event] = None


def _away() -> Unavailable:
    return Unavailable("the database does not answer", code="coordinator_unreachable", accepted="try again")
