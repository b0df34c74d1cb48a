"""Whether the books are what their facts say, in one reading of each table and in constant memory.

Grouping a million holds takes longer than reading them, and memory that grows with them. A fingerprint does neither:
every account, hold or order has a pseudo-random weight, a keyed hash of its id, and Σ weight · recorded figure must be
Σ weight · amount over the facts, wherever these lie. If one figure is wrong the two differ, unless a weight of 31 bits
happens to hide it: a chance of 2⁻³¹ in an audit, with other weights in the next one (Freivalds 1979: a random linear
check). It says that something is wrong, not what: `audit` names it.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from backend.storage.audit import (
    BROKEN_HOLD,
    HOLD_SINCE,
    HOLDS_OF_BUDGETS,
    USE_SINCE,
    USES_OF_BUDGETS,
    Figure,
    Totals,
)
from backend.storage.audit_claims import CLAIMED_NANO, PAYOUTS


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """How much was looked at, and which figures are wrong somewhere."""

    totals: Totals
    wrong: frozenset[Figure]


def _weight(*keys: str) -> str:
    """A hash in [0, 2³¹) of one id or several, the hash of one being the seed for the next; null if one is null."""
    seed = "CAST(:seed AS bigint)"
    for key in keys:
        function = "timestamp_hash_extended" if key in (HOLD_SINCE, USE_SINCE) else "uuid_hash_extended"
        seed = f"{function}({key}, {seed})"
    return f"({seed} & 2147483647)"


def _sum(weight: str, amount: str, where: str = "true") -> str:
    """Σ weight · amount in two halves, since a product must fit a bigint; the upper half is mostly zero."""
    low = f"sum({weight} * ({amount} & 4294967295)) FILTER (WHERE {where})"
    high = f"sum({weight} * ({amount} >> 32)) FILTER (WHERE {amount} >> 32 <> 0 AND {where})"  # cheapest first
    return f"coalesce({low}, 0) + 4294967296 * coalesce({high}, 0)"


_LEFT = "(amount_nano - captured_nano - released_nano)"

_OF_ACCOUNTS = f"""
    SELECT count(*) AS accounts, coalesce(sum(posted_nano), 0) AS sum,
           {_sum(_weight("id"), "posted_nano")} AS balance, {_sum(_weight("id"), "reserved_nano")} AS reserved
    FROM ledger_accounts
"""
_OF_HOLDS = f"""
    SELECT count(*) AS holds, {_sum(_weight("id", "account_id"), "captured_nano")} AS captured,
           {_sum(_weight("account_id"), _LEFT, "state = 'pending'")} AS reserved,
           count(*) FILTER (WHERE {BROKEN_HOLD}) AS broken
    FROM holds
"""
_OF_TRANSFERS = f"""
    SELECT count(*) AS transfers,
           {_sum(f"({_weight('credit_id')} - {_weight('debit_id')})", "amount_nano")} AS balance,
           {_sum(_weight("hold_id", "debit_id"), "amount_nano")} AS captured,
           {_sum(_weight("order_id"), "amount_nano", "kind IN ('charge', 'fee')")} AS charged,
           {_sum(_weight("hold_id"), "amount_nano", "kind = 'payout'")} AS paid
    FROM transfers
"""
_OF_REVERSALS = f"""
    SELECT {_sum(_weight("r.order_id"), "r.amount_nano")} AS charged
    FROM transfers r JOIN transfers t ON t.id = r.original_id
    WHERE r.kind = 'reversal' AND t.kind IN ('charge', 'fee')
"""
_OF_ORDERS = f"SELECT {_sum(_weight('id'), 'charged_nano')} AS charged FROM orders"
_OF_BUDGETS = f"""
    SELECT {_sum(_weight("b.id", "b.owner_id", HOLD_SINCE), "(h.amount_nano - h.released_nano)")} AS used
    FROM {HOLDS_OF_BUDGETS}
"""
_OF_USES = f"SELECT {_sum(_weight('b.id', 'u.account_id', USE_SINCE), 'u.used_nano')} AS used FROM {USES_OF_BUDGETS}"

_OF_PAYOUTS = f"""
    SELECT {_sum(_weight("p.hold_id"), "p.amount_nano", "p.state IN ('posted', 'returned')")} AS paid,
           count(*) FILTER (WHERE p.amount_nano <> {CLAIMED_NANO}) AS broken
    FROM {PAYOUTS}
"""

_ALL = (_OF_ACCOUNTS, _OF_HOLDS, _OF_TRANSFERS, _OF_REVERSALS, _OF_ORDERS, _OF_BUDGETS, _OF_USES, _OF_PAYOUTS)


class FingerprintRepository:
    """Everything at once; to be used in one snapshot."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def compare(self, seed: int) -> Fingerprints:
        """Recorded figures and facts under the weights that `seed`, 64 bits, gives."""
        accounts, holds, transfers, reversals, orders, budgets, uses, payouts = (
            self._connection.execute(text(query), {"seed": seed}).one() for query in _ALL
        )
        agreed = {
            Figure.BALANCE: accounts.balance == transfers.balance,
            Figure.RESERVED: accounts.reserved == holds.reserved,
            Figure.CAPTURED: holds.captured == transfers.captured,
            Figure.CHARGED: orders.charged == transfers.charged - reversals.charged,
            Figure.USED: uses.used == budgets.used,
            Figure.HELD: not holds.broken,
            Figure.PAID: payouts.paid == transfers.paid and not payouts.broken,
        }
        return Fingerprints(
            Totals(accounts.accounts, transfers.transfers, holds.holds, int(accounts.sum)),
            frozenset(figure for figure, same in agreed.items() if not same),
        )
