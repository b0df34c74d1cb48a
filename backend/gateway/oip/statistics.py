"""How many inferences this process served, how long they took: told to whom they were served, and to admins."""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.ids import AccountId
from backend.domain.serving import ModelStatistics
from backend.gateway.limits import STATISTICS_MAX

Version = tuple[str, int]  # of a model


class Statistics:
    """Totals by account and model since the process began; of more than STATISTICS_MAX the longest unused are lost."""

    def __init__(self) -> None:
        self._totals: OrderedDict[tuple[AccountId, Version], ModelStatistics] = OrderedDict()

    def served(
        self, account: AccountId, version: Version, now: datetime, rows: int, queue_ns: int, infer_ns: int
    ) -> None:
        """A request was answered."""
        self._of(account, version).served(now, rows, queue_ns, infer_ns)

    def failed(self, account: AccountId, version: Version, ns: int) -> None:
        """A request got no answer."""
        self._of(account, version).failed(ns)

    def seen_by(self, principal: Principal) -> Mapping[Version, ModelStatistics]:
        """What one may know: one's own, or all of it as an admin."""
        seen: dict[Version, ModelStatistics] = {}
        for (account, version), totals in self._totals.items():
            if principal.role == Role.ADMIN or account == principal.account_id:
                seen[version] = seen[version].merged(totals) if version in seen else totals
        return seen

    def _of(self, account: AccountId, version: Version) -> ModelStatistics:
        key = (account, version)
        totals = self._totals.get(key)
        if totals is None:
            totals = self._totals[key] = ModelStatistics()
            if len(self._totals) > STATISTICS_MAX:
                self._totals.popitem(last=False)
        else:
            self._totals.move_to_end(key)
        return totals
