"""Training jobs on a real market: rounds that are asked, judged, paid for and made one; and how jobs end."""

import pytest

from backend.domain.federated.states import EndReason, JobState, ParticipantState, RoundState
from backend.domain.registry import Format
from tests.integration.services.training import AIM, Training
from tests.market import Market

pytestmark = pytest.mark.usefixtures("books_in_order")


@pytest.fixture
def training(market: Market) -> Training:
    """A market with four nodes that can take part."""
    return Training.of(market, 4)


def test_a_job_runs_its_rounds_and_costs_what_its_accepted_updates_did(training: Training, market: Market) -> None:
    before = market.wallet()
    ended = training.run(training.submit(rounds=3, name="four-numbers"))
    assert (ended.job.state, ended.job.reason, ended.job.round) == (JobState.DONE, EndReason.ROUNDS_DONE, 3)
    name = f"train_{ended.job.id.hex}"
    rounds = training.rounds(name)
    assert [(r.round.number, r.round.state) for r in rounds] == [(n, RoundState.AGGREGATED) for n in (1, 2, 3)]
    assert [r.counts for r in rounds] == [{ParticipantState.ACCEPTED: 3}] * 3
    after = market.wallet()
    assert sum(r.charged_nano for r in rounds) == ended.charged_nano == before.wallet_nano - after.wallet_nano > 0
    assert after.reserved_nano == 0
    assert training.weights(name) == pytest.approx([7 / 8 * one for one in AIM])
    assert training.weights(name, 1) == pytest.approx([one / 2 for one in AIM])
    assert training.weights(name, 0) == [0.0] * 4
    losses = [(r.round.metrics or {})["loss"] for r in rounds]
    assert losses == pytest.approx([5.0, 2.5, 1.25])
    assert ended.job.best_value == pytest.approx(1.25)
    assert ended.job.best_round == 3
    with market.app.uow() as uow:
        model = uow.models.versions(["four-numbers"])["four-numbers"][1]
    assert (model.ref.model_id, model.format, model.owner_id) == (
        ended.job.result_model_id,
        Format.ONNX,
        market.buyer.account_id,
    )
    assert model.tags["training_job"] == name
    assert (model.tags["rounds"], model.tags["metric"]) == ("3", "loss=1.25 (round 3)")
