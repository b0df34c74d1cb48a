"""What a provider's earnings did in a period: every kind of movement, between two balances."""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.domain.ids import AccountId
from backend.domain.periods import Period


@dataclass(frozen=True, slots=True)
class EarningsLine:
    """Movements of one kind, in nano-credits: what they added to the free and to the withheld earnings.

    `kind` is the transfer's; a reversal says by `reverses` of what kind it was. `workload` is the
    order's, if there is one.
    """

    kind: str
    reverses: str | None
    workload: str | None
    count: int
    earnings_nano: int
    withheld_nano: int


@dataclass(frozen=True, slots=True)
class EarningsStatement:
    """Opening balances + lines = closing balances, for the free and for the withheld earnings alike."""

    account_id: AccountId
    period: Period
    opening_nano: int
    opening_withheld_nano: int
    lines: Sequence[EarningsLine]

    @property
    def closing_nano(self) -> int:
        """What was free to be paid out at the end, held for payouts included."""
        return self.opening_nano + sum(line.earnings_nano for line in self.lines)

    @property
    def closing_withheld_nano(self) -> int:
        """What was withheld at the end."""
        return self.opening_withheld_nano + sum(line.withheld_nano for line in self.lines)
