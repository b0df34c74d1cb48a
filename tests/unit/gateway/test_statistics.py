"""Counted inferences: whose they are, and that they do not grow without end."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from backend.domain.access import Principal, Role
from backend.domain.ids import AccountId
from backend.gateway.oip import statistics
from backend.gateway.oip.statistics import Statistics

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ME, OTHER = (AccountId(UUID(int=n)) for n in (1, 2))
MODEL = ("m", 1)


def who(account: AccountId, role: Role = Role.USER) -> Principal:
    return Principal(None, account, role)


def test_everybody_sees_their_own_and_an_admin_all_together() -> None:
    counted = Statistics()
    counted.served(ME, MODEL, NOW, 2, 1, 1)
    counted.served(OTHER, MODEL, NOW, 5, 1, 1)
    counted.failed(OTHER, ("n", 1), 1)
    assert {version: totals.inferences for version, totals in counted.seen_by(who(ME)).items()} == {MODEL: 2}
    assert {v: t.inferences for v, t in counted.seen_by(who(ME, Role.ADMIN)).items()} == {MODEL: 7, ("n", 1): 0}
    assert counted.seen_by(who(ME))[MODEL].inferences == 2, "adding up for an admin changes nobody's"


def test_beyond_the_limit_the_longest_unused_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "STATISTICS_MAX", 2)
    counted = Statistics()
    for version in (1, 2, 1, 3):
        counted.served(ME, ("m", version), NOW, 1, 1, 1)
    assert {v: t.inferences for v, t in counted.seen_by(who(ME)).items()} == {("m", 1): 2, ("m", 3): 1}
