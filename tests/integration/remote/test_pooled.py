"""Requests of tier small reach machines that nobody can dial as well: most phones and edge machines are such."""

from pathlib import Path

import pytest

from backend.domain.money import charge_nano, parse_credits
from backend.domain.orders import REQUESTS
from backend.services import audit, models, orders
from tests.integration.remote.machines import Serving
from tests.integration.remote.nodes import Remote
from tests.waiting import PATIENCE_S, until

SMALL = {"Swarmex-Tier": "small"}
REQUESTS_MADE = 6


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateways go on by what they know, however slow this machine is."""
    monkeypatch.setattr("backend.gateway.changes.FAIL_CLOSED_S", PATIENCE_S)


def test_a_machine_that_nobody_can_dial_serves_a_pooled_lease_and_is_paid_by_the_request(
    remote: Remote, tmp_path: Path
) -> None:
    with Serving(remote) as served:
        served.machine(tmp_path)
        answers = [served.ask(3.0, 4.0, headers=SMALL) for _ in range(REQUESTS_MADE)]
        assert [answer.status_code for answer in answers] == [200] * REQUESTS_MADE, answers[0].text
        assert {answer.headers["Swarmex-Node"] for answer in answers} == {"attic"}
        app, buyer = remote.market.app, remote.market.buyer
        price = parse_credits(answers[0].headers["Swarmex-Price"])
        most = charge_nano(price, models.get_model(app.uow(), "doubling").profile.worst_case_us(1))
        told = [parse_credits(answer.headers["Swarmex-Charge"], zero=True) for answer in answers]
        assert all(0 < charge <= most for charge in told)

        def charged() -> int:
            found = orders.list_orders(app.uow(), buyer.account_id)
            return sum(order.charged_nano for order in found if order.workload == REQUESTS)

        until(lambda: charged() == sum(told), "it is reported and charged")
    assert audit.audit_ledger(app.uow()).ok
