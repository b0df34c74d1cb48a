"""Deposits: money that came in outside, credited by admins."""

from fastapi import APIRouter

from backend.api.dependencies import Market, Now
from backend.api.security import Admin
from backend.api.wire.accounts import Deposit, DepositRequest
from backend.domain.ids import AccountId
from backend.services import deposits

router = APIRouter(prefix="/api/v1/deposits", tags=["deposits"])


@router.post("", status_code=201)
def deposit(body: DepositRequest, caller: Admin, market: Market, now: Now) -> Deposit:
    """Credit a payment once: its `reference` is the key, and a repeat of it gets the first answer."""
    account = AccountId(body.account)
    return Deposit.of(deposits.deposit(market.uow(), now, account, body.amount, body.reference, caller))
