"""Why an operation cannot be done, as far as a single look at its figures tells."""

from backend.domain.errors import InsufficientFunds, Invalid
from backend.domain.ledger.drafts import BalanceDraft
from backend.domain.ledger.records import AccountKind, Transfer, TransferKind, mirror
from backend.domain.money import AMOUNT_NANO_MAX

BALANCE_NANO_MAX = 9 * 10**18  # of any account, either way: what a BIGINT holds; captures only spread what is there


def check_amount(amount_nano: int) -> None:
    """Raise Invalid(`invalid_amount`) for what cannot be moved or set aside at once."""
    if not 0 < amount_nano <= AMOUNT_NANO_MAX:
        raise Invalid(
            f"{amount_nano} nano-credits cannot be moved",
            code="invalid_amount",
            field="amount",
            accepted=f"1 to {AMOUNT_NANO_MAX} nano-credits",
        )


def check_reversal(transfer: Transfer, original: Transfer) -> None:
    """Raise Invalid(`not_reversible`) unless `transfer` undoes `original`, whole."""
    if original.kind is TransferKind.REVERSAL or transfer != mirror(original, transfer.id):
        raise Invalid(
            f"transfer {original.id} cannot be reversed so",
            code="not_reversible",
            field="transfer",
            accepted="the mirror of a transfer that is no reversal itself",
        )


def check_sizes(debit: BalanceDraft, credit: BalanceDraft, amount_nano: int) -> None:
    """Raise Invalid(`invalid_amount`) if a balance would become larger than a database can hold."""
    if debit.posted_nano - amount_nano < -BALANCE_NANO_MAX or credit.posted_nano + amount_nano > BALANCE_NANO_MAX:
        raise Invalid(
            "a balance would be too large", code="invalid_amount", field="amount", accepted="a smaller amount"
        )


def check_funds(balance: BalanceDraft, amount_nano: int) -> None:
    """Raise InsufficientFunds if that much is not available; the world may owe."""
    available = balance.posted_nano - balance.reserved_nano
    if available < amount_nano and balance.before.kind is not AccountKind.WORLD:
        raise InsufficientFunds(balance.before.account, amount_nano, available)
