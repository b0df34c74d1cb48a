"""The books: transfers and statements of one's own, corrections by admins."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from backend.api.dependencies import Market, Now, Once
from backend.api.security import Admin, Anyone, account_of
from backend.api.wire import ledger as wire
from backend.api.wire.base import Text
from backend.domain.access import Role
from backend.domain.ids import AccountId, OrderId, TransferId
from backend.domain.ledger import AccountKind
from backend.services import corrections, credits, statements

router = APIRouter(prefix="/api/v1/ledger", tags=["ledger"])
Limit = Annotated[int, Query(ge=1, le=statements.LIST_MAX)]


@router.get("/transfers")
def list_transfers(
    caller: Anyone, market: Market, account: UUID | None = None, limit: Limit = 100, before: UUID | None = None
) -> wire.TransferList:
    """Transfers that touch the caller's account, newest first; to admins, everybody's or those of the account named."""
    everybody = account is None and caller.role is Role.ADMIN
    whose = None if everybody else account_of(caller, account)
    found = statements.list_transfers(market.uow(), whose, limit, TransferId(before) if before else None)
    return wire.TransferList.of(found, caller, limit)


@router.get("/transfers/{transfer_id}")
def show_transfer(transfer_id: UUID, caller: Anyone, market: Market) -> wire.Transfer:
    """One transfer, with what corrected it."""
    return wire.Transfer.of(statements.show_transfer(market.uow(), TransferId(transfer_id), caller), caller)


@router.get("/statement")
def show_statement(
    caller: Anyone,
    market: Market,
    account: UUID | None = None,
    kind: Text = AccountKind.WALLET.value,
    since: wire.Moment | None = None,
    until: wire.Moment | None = None,
    limit: Annotated[int, Query(ge=1, le=statements.PAGE_MAX)] = statements.PAGE_MAX,
    after: UUID | None = None,
) -> wire.Statement:
    """What moved on the wallet, earnings or withheld money of an account, with a running balance, in order of time.

    `since` is included, `until` is not. Admins also see the market's own: `kind` fees, credits or world.
    """
    markets_own = kind in statements.MARKET_ACCOUNTS and caller.role is Role.ADMIN
    whose = None if markets_own else account_of(caller, account)
    following = TransferId(after) if after else None
    found = statements.statement(market.uow(), whose, kind, since, until, limit, following)
    return wire.Statement.of(found, caller)


@router.post("/transfers/{transfer_id}/reverse", status_code=201)
def reverse_transfer(
    transfer_id: UUID, body: wire.Reversal, caller: Admin, once: Once, market: Market, now: Now
) -> wire.Correction:
    """Undo a transfer, once; with `amount`, charge so much anew in its place."""
    uow, found, fund = market.uow(), TransferId(transfer_id), body.from_fund
    if body.amount:
        made = corrections.replace_charge(uow, now, caller, found, body.amount, body.reason, fund, once)
    else:
        made = corrections.reverse(uow, now, caller, found, body.reason, body.with_fee, fund, once)
    return wire.Correction.of(made)


@router.post("/credits", status_code=201)
def fund_credits(body: wire.FundingRequest, caller: Admin, market: Market, now: Now) -> wire.Funding:
    """Fill the credits fund, once per `reference`: a repeat of it gets the first answer."""
    return wire.Funding.of(credits.fund(market.uow(), now, caller, body.amount, body.source, body.reference))


@router.post("/refunds", status_code=201)
def refund(body: wire.RefundRequest, caller: Admin, once: Once, market: Market, now: Now) -> wire.Refund:
    """Pay a buyer out of the credits fund."""
    account, order = AccountId(body.account), OrderId(body.order) if body.order else None
    made = credits.refund(market.uow(), now, caller, account, body.amount, body.reason, order, once)
    return wire.Refund.of(made)
