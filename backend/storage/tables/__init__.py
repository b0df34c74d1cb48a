"""The schema as typed SQLAlchemy tables; `migrations/` builds it and a test holds both equal."""

from backend.storage.tables.access import AccountRow, ApiKeyRow, ChangeRow, IdempotencyRow
from backend.storage.tables.base import Base
from backend.storage.tables.fleet import AgentRow, FleetRow
from backend.storage.tables.market import EpochRow, MarketRow, NodeRow, OfferRow, OrderRow, TradeRow
from backend.storage.tables.money import HoldRow, LedgerAccountRow, TransferRow
from backend.storage.tables.work import ItemRow, LeaseRow, ModelRow, OutboxRow, UnitRow, WindowRow

__all__ = [
    "AccountRow",
    "AgentRow",
    "ApiKeyRow",
    "Base",
    "ChangeRow",
    "EpochRow",
    "FleetRow",
    "HoldRow",
    "IdempotencyRow",
    "ItemRow",
    "LeaseRow",
    "LedgerAccountRow",
    "MarketRow",
    "ModelRow",
    "NodeRow",
    "OfferRow",
    "OrderRow",
    "OutboxRow",
    "TradeRow",
    "TransferRow",
    "UnitRow",
    "WindowRow",
]
