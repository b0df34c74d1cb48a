"""Escrow: the one place where money is set aside, before anything is spent, and the one where it leaves a hold."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.domain.access import Spender
from backend.domain.budgets import BudgetPeriod, Tally, Wish
from backend.domain.errors import NotFound, SwarmexError
from backend.domain.ids import AccountId, HoldId, LedgerAccountId, OrderId, TransferId
from backend.domain.ledger import (
    FEES_ID,
    Books,
    Capture,
    Hold,
    HoldState,
    Operation,
    Raise,
    Release,
    Reserve,
    Transfer,
    TransferKind,
    apply,
)
from backend.domain.money import fee_nano
from backend.domain.tiers import TierName
from backend.services.alerts import of_budgets, of_wallets, tell
from backend.storage.budgets import BudgetUse
from backend.storage.ids import new_id
from backend.storage.ledger import HoldLabel, LockedAccounts
from backend.storage.unit_of_work import UnitOfWork

HOLD_MARGIN = timedelta(days=1)  # a hold outlives what it is for by the longest that work may take


@dataclass(frozen=True, slots=True)
class Need:
    """An amount in nano-credits that may be spent, by whom, for what, and until when it is expected to be."""

    spender: Spender
    hold_id: HoldId
    amount_nano: int
    until: datetime
    tier: TierName | None = None
    kind: BudgetPeriod = BudgetPeriod.REQUEST


@dataclass(frozen=True, slots=True)
class Charge:
    """What a provider earned from a hold, in nano-credits and fee included; without a provider all of it is fee.

    `kept_nano` of it is not the provider's: what an auction left between the buyer's price and the seller's.
    """

    hold_id: HoldId
    provider: AccountId | None
    amount_nano: int
    fee_ppm: int = 0
    order_id: OrderId | None = None
    kept_nano: int = 0


def reserve(uow: UnitOfWork, now: datetime, needs: Sequence[Need]) -> list[SwarmexError | None]:
    """Hold amounts on wallets, inside an open unit of work that the caller commits; six statements for any number.

    One outcome per need, in order: None, or why it was refused and nothing of it is held. Budgets are asked before
    funds. Thresholds that the use of a budget or a wallet goes over are told once each.
    """
    accounts = {need.spender.account_id for need in needs}
    if not accounts:
        return []
    locked = uow.ledger.lock(wallets_of=accounts)
    limits = uow.budgets.limits(accounts, now, {need.tier for need in needs if need.tier})
    books = Books(locked.balances)
    tallies = {account: Tally(limits[account].budgets) for account in limits}
    outcomes = [_attempt(need, books, tallies[need.spender.account_id], locked) for need in needs]
    applied = books.applied(outcomes)
    held = [need for need, refused in zip(needs, outcomes, strict=True) if refused is None]
    uow.ledger.write(applied, now, {need.hold_id: HoldLabel(need.spender.member_id, need.tier) for need in held})
    uow.budgets.count(
        [
            BudgetUse(budget.id, account, budget.since, used)
            for account, tally in tallies.items()
            for budget, used in tally.counted()
            if budget.since
        ]
    )
    tell(uow, of_budgets(tallies, now) + of_wallets(limits, locked, applied, now))
    return outcomes


def raise_held(
    uow: UnitOfWork, now: datetime, needs: Sequence[Need], holds: Mapping[HoldId, Hold], made_at: datetime
) -> list[SwarmexError | None]:
    """Hold so much more under holds that the caller has locked; else as `reserve`.

    Budgets are asked for the period of `made_at`, when the holds were made: there they count. Those of a request or job
    the holds have passed.
    """
    accounts = {need.spender.account_id for need in needs}
    if not accounts:
        return []
    locked = uow.ledger.lock(wallets_of=accounts)
    limits = uow.budgets.limits(accounts, made_at, {need.tier for need in needs if need.tier})
    books = Books(locked.balances, holds)
    tallies = {account: Tally(limits[account].budgets) for account in limits}
    outcomes = [
        _grant(
            Wish(need.amount_nano, need.tier, BudgetPeriod.MONTH, need.spender.member_id),
            Raise(need.hold_id, need.amount_nano),
            books,
            tallies[need.spender.account_id],
        )
        for need in needs
    ]
    applied = books.applied(outcomes)
    uow.ledger.write(applied, now)
    tell(uow, of_budgets(tallies, now) + of_wallets(limits, locked, applied, now))
    return outcomes


def reserve_one(uow: UnitOfWork, now: datetime, need: Need) -> None:
    """Hold one amount; raises what it was refused for."""
    [refused] = reserve(uow, now, [need])
    if refused:
        raise refused


def _attempt(need: Need, books: Books, tally: Tally, locked: LockedAccounts) -> SwarmexError | None:
    wallet = locked.wallets.get(need.spender.account_id)
    if wallet is None:
        return NotFound("account", need.spender.account_id)
    wish = Wish(need.amount_nano, need.tier, need.kind, need.spender.member_id)
    return _grant(wish, Reserve(need.hold_id, wallet, need.amount_nano, need.until + HOLD_MARGIN), books, tally)


def _grant(wish: Wish, operation: Reserve | Raise, books: Books, tally: Tally) -> SwarmexError | None:
    """Do it if the budgets allow and the wallet covers it, and count it."""
    refused = tally.refusal(wish) or books.attempt(operation)
    if refused is None:
        tally.count(wish)
    return refused


def capture(
    uow: UnitOfWork, now: datetime, charges: Sequence[Charge], release: Collection[HoldId] = ()
) -> list[Transfer]:
    """Move charges out of their holds, give the rest of the holds in `release` back; seven statements at most.

    Raises what one of the charges is refused for; then nothing of the batch is written. Returns the transfers.
    """
    holds = uow.ledger.lock_holds({c.hold_id for c in charges} | set(release))
    accounts = uow.ledger.lock(
        earnings_of={c.provider for c in charges if c.provider},
        others={hold.account for hold in holds.values()} | ({FEES_ID} if charges else set()),
    )
    operations: list[Operation] = [capture for c in charges for capture in _captures(c, holds[c.hold_id], accounts)]
    operations += [Release(hold) for hold in _not_used_up(operations, holds, release)]
    applied = apply(operations, accounts.balances, holds)
    for outcome in applied.outcomes:
        if outcome:
            raise outcome  # what was held always covers what is charged
    uow.ledger.write(applied, now)
    return list(applied.transfers)


def _captures(charge: Charge, hold: Hold, accounts: LockedAccounts) -> list[Capture]:
    earned = charge.amount_nano - charge.kept_nano
    fee = charge.kept_nano + fee_nano(earned, charge.fee_ppm) if charge.provider else charge.amount_nano
    parts: list[tuple[TransferKind, LedgerAccountId, int]] = [(TransferKind.FEE, FEES_ID, fee)]
    if charge.provider:
        parts.insert(0, (TransferKind.CHARGE, accounts.earnings[charge.provider], charge.amount_nano - fee))
    return [
        Capture(Transfer(TransferId(new_id()), kind, hold.account, credit, amount, hold.id, charge.order_id))
        for kind, credit, amount in parts
        if amount
    ]


def _not_used_up(
    operations: Sequence[Operation], holds: Mapping[HoldId, Hold], release: Collection[HoldId]
) -> list[HoldId]:
    """The holds to release that the captures before it leave something of, and that are still pending."""
    captured: dict[HoldId, int] = {}
    for operation in operations:
        if isinstance(operation, Capture) and operation.transfer.hold_id:
            hold_id = operation.transfer.hold_id
            captured[hold_id] = captured.get(hold_id, 0) + operation.transfer.amount_nano
    return [
        hold
        for hold in release
        if holds[hold].state is HoldState.PENDING and holds[hold].left_nano > captured.get(hold, 0)
    ]
