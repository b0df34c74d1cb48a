"""Accounts and deposits on the wire."""

from collections.abc import Sequence
from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Amount, Answer, Credits, Id, Text, Wire
from backend.domain.money import format_credits
from backend.services.accounts import AccountView
from backend.services.deposits import DepositView


class NewAccount(Wire):
    """An account to open."""

    name: Text = Field(examples=["acme"])


class Account(Answer):
    """An account's money: the wallet pays for work, earnings are what its nodes brought in."""

    id: UUID
    name: str
    wallet: Amount
    reserved: Amount
    available: Amount
    earnings: Amount
    created_at: datetime
    type: str
    withheld: Amount = Field(description="Earnings under dispute or SLA.")
    exhausted_in_s: int | None = Field(description="How long the wallet lasts at what open sessions burn.")

    @classmethod
    def of(cls, view: AccountView) -> Self:
        """The wire form of an account."""
        return cls(
            id=view.id,
            name=view.name,
            wallet=format_credits(view.wallet_nano),
            reserved=format_credits(view.reserved_nano),
            available=format_credits(view.available_nano),
            earnings=format_credits(view.earnings_nano),
            created_at=view.created_at,
            type=view.type,
            withheld=format_credits(view.withheld_nano),
            exhausted_in_s=view.exhausted_in_s,
        )


class AccountList(Answer):
    """Accounts, the newest first; `next_before` continues, and is null at the end."""

    accounts: list[Account]
    next_before: UUID | None

    @classmethod
    def of(cls, found: Sequence[AccountView], limit: int) -> Self:
        """The wire form of a page of so many at most."""
        following = found[-1].id if len(found) == limit else None
        return cls(accounts=[Account.of(view) for view in found], next_before=following)


class DepositRequest(Wire):
    """Money that came in outside; `reference` is the payment's own id, so that it is credited once."""

    account: Id
    amount: Credits
    reference: Text = Field(examples=["invoice-2031"])


class Deposit(Answer):
    """A deposit; `repeated` when its reference was credited before."""

    transfer_id: UUID
    account: UUID
    amount: Amount
    reference: str
    available: Amount
    repeated: bool

    @classmethod
    def of(cls, view: DepositView) -> Self:
        """The wire form of a deposit."""
        return cls(
            transfer_id=view.transfer_id,
            account=view.account_id,
            reference=view.reference,
            amount=format_credits(view.amount_nano),
            available=format_credits(view.available_nano),
            repeated=view.repeated,
        )
