"""Names for identifiers, so that a lease's id cannot be passed where a node's is meant (all are UUIDv7)."""

from typing import NewType
from uuid import UUID

AccountId = NewType("AccountId", UUID)
KeyId = NewType("KeyId", UUID)
LedgerAccountId = NewType("LedgerAccountId", UUID)
TransferId = NewType("TransferId", UUID)
HoldId = NewType("HoldId", UUID)
NodeId = NewType("NodeId", UUID)
OfferId = NewType("OfferId", UUID)
ModelId = NewType("ModelId", UUID)
OrderId = NewType("OrderId", UUID)
EpochId = NewType("EpochId", UUID)
TradeId = NewType("TradeId", UUID)
LeaseId = NewType("LeaseId", UUID)
WindowId = NewType("WindowId", UUID)
ItemId = NewType("ItemId", UUID)
UnitId = NewType("UnitId", UUID)
AgentId = NewType("AgentId", UUID)
BudgetId = NewType("BudgetId", UUID)
AlertId = NewType("AlertId", UUID)
DocumentId = NewType("DocumentId", UUID)
PayoutId = NewType("PayoutId", UUID)
DisputeId = NewType("DisputeId", UUID)
UsageId = NewType("UsageId", UUID)
LogId = NewType("LogId", UUID)
SlaWindowId = NewType("SlaWindowId", UUID)
