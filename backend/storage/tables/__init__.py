"""The schema as typed SQLAlchemy tables; `migrations/` builds it and a test holds both equal."""

from backend.storage.tables.access import AccountRow, ApiKeyRow, ChangeRow, IdempotencyRow, LogRow, MemberRow
from backend.storage.tables.allowances import GatewayOrderRow, GatewayRow, PooledUseRow
from backend.storage.tables.base import Base
from backend.storage.tables.batches import (
    AccountDeliveryRow,
    BatchChunkRow,
    BatchRow,
    FileRow,
    KeptSecretRow,
    OrderWebhookRow,
)
from backend.storage.tables.billing import (
    DisputeRow,
    DocumentLineRow,
    DocumentNumberRow,
    DocumentRow,
    FeeRow,
    PayoutRow,
)
from backend.storage.tables.budgets import AlertRow, BaselineRow, BudgetRow, BudgetUseRow
from backend.storage.tables.coordination import FactRow, JointPartRow, JointTaskRow, NamedLeaseRow
from backend.storage.tables.dead_letters import DeadLetterRow
from backend.storage.tables.external import ExternalNodeRow
from backend.storage.tables.fleet import AgentRow, FleetManagerRow, FleetRow, ScalingRow
from backend.storage.tables.incidents import IncidentDeliveryRow, IncidentRow
from backend.storage.tables.joining import JoinTokenRow, NodeKeyRow, OverstatedRow, RemoteUnitRow
from backend.storage.tables.market import (
    EpochRow,
    MarketRow,
    MarketRuleRow,
    NodeModelRow,
    NodeRow,
    OfferRow,
    OrderRow,
    PricePointRow,
    RegionLinkRow,
    TierRow,
    TradeRow,
)
from backend.storage.tables.metering import MeterPriceRow, MeterRow, UsageRow
from backend.storage.tables.money import (
    AuditedBalanceRow,
    AuditMarkRow,
    AuditRunRow,
    HoldRow,
    LedgerAccountRow,
    TransferRow,
)
from backend.storage.tables.quality import SlaSessionShareRow, SlaShareRow, SlaWindowRow, TrustEventRow
from backend.storage.tables.rates import KeyLimitRow
from backend.storage.tables.registry import ModelAliasRow, ModelChunkRow, ModelNameRow, ModelUploadRow
from backend.storage.tables.sealing_keys import PrivateRecipientRow, SealingKeyRow
from backend.storage.tables.training import TrainingJobRow, TrainingNodeRow, TrainingParticipantRow, TrainingRoundRow
from backend.storage.tables.work import ItemRow, LeaseRow, ModelRow, OutboxRow, PayloadMarkRow, UnitRow, WindowRow

__all__ = [
    "AccountDeliveryRow",
    "AccountRow",
    "AgentRow",
    "AlertRow",
    "ApiKeyRow",
    "AuditMarkRow",
    "AuditRunRow",
    "AuditedBalanceRow",
    "Base",
    "BaselineRow",
    "BatchChunkRow",
    "BatchRow",
    "BudgetRow",
    "BudgetUseRow",
    "ChangeRow",
    "DeadLetterRow",
    "DisputeRow",
    "DocumentLineRow",
    "DocumentNumberRow",
    "DocumentRow",
    "EpochRow",
    "ExternalNodeRow",
    "FactRow",
    "FeeRow",
    "FileRow",
    "FleetManagerRow",
    "FleetRow",
    "GatewayOrderRow",
    "GatewayRow",
    "HoldRow",
    "IdempotencyRow",
    "IncidentDeliveryRow",
    "IncidentRow",
    "ItemRow",
    "JoinTokenRow",
    "JointPartRow",
    "JointTaskRow",
    "KeptSecretRow",
    "KeyLimitRow",
    "LeaseRow",
    "LedgerAccountRow",
    "LogRow",
    "MarketRow",
    "MarketRuleRow",
    "MemberRow",
    "MeterPriceRow",
    "MeterRow",
    "ModelAliasRow",
    "ModelChunkRow",
    "ModelNameRow",
    "ModelRow",
    "ModelUploadRow",
    "NamedLeaseRow",
    "NodeKeyRow",
    "NodeModelRow",
    "NodeRow",
    "OfferRow",
    "OrderRow",
    "OrderWebhookRow",
    "OutboxRow",
    "OverstatedRow",
    "PayloadMarkRow",
    "PayoutRow",
    "PooledUseRow",
    "PricePointRow",
    "PrivateRecipientRow",
    "RegionLinkRow",
    "RemoteUnitRow",
    "ScalingRow",
    "SealingKeyRow",
    "SlaSessionShareRow",
    "SlaShareRow",
    "SlaWindowRow",
    "TierRow",
    "TradeRow",
    "TrainingJobRow",
    "TrainingNodeRow",
    "TrainingParticipantRow",
    "TrainingRoundRow",
    "TransferRow",
    "TrustEventRow",
    "UnitRow",
    "UsageRow",
    "WindowRow",
]
