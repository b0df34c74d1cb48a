"""Usage is charged through the one escrow: set aside under funds and budgets, and captured in the same transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from backend.domain.access import Spender
from backend.domain.ids import HoldId, TransferId, UsageId
from backend.domain.ledger import FEES_ID
from backend.domain.metering import Meter, Usage, UsageState
from backend.services.escrow import Charge, Need, capture, reserve
from backend.storage.contention import patient
from backend.storage.unit_of_work import UnitOfWork

COLLECT_MAX = 500
FIRST = UsageId(UUID(int=0))


@dataclass(frozen=True, slots=True)
class Collected:
    """How much unpaid usage was charged, and after which one to go on; None: that was the last."""

    charged: int
    after: UsageId | None


def charge(
    uow: UnitOfWork, now: datetime, usages: Sequence[Usage], meters: Mapping[str, Meter]
) -> tuple[list[Usage], dict[UsageId, str]]:
    """Charge unpaid usage as far as funds and budgets reach, inside an open unit of work that the caller commits.

    The caller holds the locks of `lock_for` and writes the usage, which is returned with the codes of what refused the
    rest; a constant number of statements for any number of events and accounts. All of an amount is the provider's, or
    without a provider the market's.
    """
    needs = [Need(Spender(usage.account_id), HoldId(usage.id), usage.amount_nano, now) for usage in usages]
    outcomes = dict(zip((usage.id for usage in usages), reserve(uow, now, needs), strict=True))
    captured = capture(
        uow,
        now,
        [
            Charge(HoldId(usage.id), meters[usage.meter].provider_id, usage.amount_nano)
            for usage in usages
            if outcomes[usage.id] is None
        ],
    )
    transfers: dict[HoldId | None, TransferId] = {transfer.hold_id: transfer.id for transfer in captured}
    after = [
        usage
        if outcomes[usage.id]
        else replace(usage, state=UsageState.CHARGED, transfer_id=transfers[HoldId(usage.id)])
        for usage in usages
    ]
    return after, {usage: refused.code for usage, refused in outcomes.items() if refused}


@patient
def collect_unpaid(uow: UnitOfWork, now: datetime, after: UsageId | None = None) -> Collected:
    """Try COLLECT_MAX unpaid events above an id again, whose wallets have enough; for a timer, page by page.

    Replicas do not charge twice: each looks again once it has the locks.
    """
    with uow:
        waiting = uow.metering.unpaid(after or FIRST, COLLECT_MAX)
        if not waiting:
            return Collected(0, None)
        meters = uow.metering.meters_named({usage.meter for usage in waiting})
        providers = {meter.provider_id for meter in meters.values() if meter.provider_id}
        uow.ledger.lock(wallets_of={usage.account_id for usage in waiting}, earnings_of=providers, others=[FEES_ID])
        found = uow.metering.lock([usage.id for usage in waiting])
        tried, refused = charge(uow, now, [u for u in found if u.state is UsageState.UNPAID], meters)
        charged = [usage for usage in tried if usage.id not in refused]
        uow.metering.write(charged)
        uow.commit()
    return Collected(len(charged), waiting[-1].id if len(waiting) == COLLECT_MAX else None)
