"""Escrow: the one place where money is set aside, before anything is spent, for every kind of workload."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.domain.errors import SwarmexError
from backend.domain.ids import AccountId, HoldId
from backend.domain.ledger import Reserve, apply
from backend.storage.unit_of_work import UnitOfWork

HOLD_MARGIN = timedelta(days=1)  # a hold outlives what it is for by the longest that work may take


@dataclass(frozen=True, slots=True)
class Need:
    """An amount in nano-credits that may be spent, and until when it is expected to be."""

    hold_id: HoldId
    amount_nano: int
    until: datetime


def reserve(uow: UnitOfWork, now: datetime, account: AccountId, needs: Sequence[Need]) -> list[SwarmexError | None]:
    """Hold amounts on an account's wallet, inside an open unit of work that the caller commits; three statements.

    One outcome per need, in order: None, or why it was refused and nothing of it is held.
    """
    accounts = uow.ledger.lock(wallets_of=[account])
    wallet = accounts.wallets[account]
    operations = [Reserve(need.hold_id, wallet, need.amount_nano, need.until + HOLD_MARGIN) for need in needs]
    applied = apply(operations, accounts.balances)
    uow.ledger.write(applied, now)
    return list(applied.outcomes)


def reserve_one(uow: UnitOfWork, now: datetime, account: AccountId, need: Need) -> None:
    """Hold one amount; raises what it was refused for."""
    [refused] = reserve(uow, now, account, [need])
    if refused:
        raise refused
