"""What is recorded of training jobs is read back as it was, and jobs are shared by replicas."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from backend.bootstrap import new_id, utc_now
from backend.domain.federated.jobs import Privacy, PrivacyMode, Target, TrainingSpec
from backend.domain.federated.states import EndReason, JobState, ParticipantState, RoundState
from backend.domain.federated.tasks import WeightsRef
from backend.domain.ids import ParticipantId, RoundId, TrainingJobId
from backend.domain.leases import ItemState
from backend.domain.nodes import NodeState
from backend.domain.orders import OrderState
from backend.domain.pricing import Market as Place
from backend.domain.work import AGENT_LOST_S
from backend.services import trainers
from backend.storage.training_jobs import TrainingJob
from backend.storage.training_nodes import CandidateNode, TrainingNode
from backend.storage.training_participants import Participant
from backend.storage.training_rounds import Round
from tests.integration.services.clock import in_seconds
from tests.integration.services.judged import UPDATE, Lab
from tests.market import Market, Statements

SPEC = TrainingSpec("digits", 3, 4, 2)
FULL = TrainingSpec(
    "digits",
    rounds=10,
    participants=4,
    participants_min=2,
    strategy="fedadam",
    strategy_options={"server_learning_rate": 1.0, "tau": 1e-9},
    config={"learning_rate": 0.1, "hidden": 32, "split": "dirichlet", "shuffle": True},
    tier="large",
    region="north",
    max_budget_nano=10**15,
    target=Target("accuracy", higher_is_better=True, value=0.95, patience=3),
    privacy=Privacy(PrivacyMode.CENTRAL, 1.0, 1.3, 1e-5, epsilon_max=8.0),
    model="digits@champion",
    name="mine",
    webhook="https://example.org/news",
)
WEIGHTS = WeightsRef("training/w", "ab" * 32, 1 << 33)
NOW = utc_now()


def make(market: Market, **changes: Any) -> TrainingJob:
    """A job of the buyer, recorded."""
    with market.app.uow() as uow:
        trainer = trainers.trainer_model(uow, "digits").ref.model_id
        values: dict[str, Any] = {
            "id": TrainingJobId(new_id()),
            "account_id": market.buyer.account_id,
            "member_id": None,
            "trainer_model_id": trainer,
            "spec": SPEC,
            "state": JobState.SELECTING,
            "created_at": NOW,
            "deadline_at": NOW + timedelta(hours=1),
            "claimed_until": NOW,
        }
        job = TrainingJob(**values | changes)
        uow.training_jobs.add(job)
        uow.commit()
    return job


def round_of(job: TrainingJob, **changes: Any) -> Round:
    """The first round of a job, or as changed."""
    values: dict[str, Any] = {
        "id": RoundId(new_id()),
        "job_id": job.id,
        "number": 1,
        "attempt": 1,
        "state": RoundState.OPEN,
        "started_at": NOW,
        "deadline_at": NOW + timedelta(minutes=1),
        "wanted": 4,
    }
    return Round(**values | changes)


@pytest.fixture
def lab(market: Market) -> Lab:
    """Three nodes, alive."""
    return Lab.of(market, 3)


@pytest.mark.parametrize("spec", [SPEC, FULL], ids=["plain", "full"])
def test_a_job_is_read_as_it_was_written(lab: Lab, spec: TrainingSpec) -> None:
    job = make(lab.market, spec=spec)
    ended = replace(
        job,
        state=JobState.DONE,
        reason=EndReason.TARGET_REACHED,
        ended_at=NOW,
        round=2,
        failed_rounds=1,
        weights=WEIGHTS,
        strategy_state=replace(WEIGHTS, key="training/s"),
        best_value=0.96,
        best_round=2,
        stale_rounds=1,
        epsilon=3.25,
        result_model_id=lab.market.model.ref.model_id,
        result_error="no ONNX",
        cancel_requested=True,
    )
    with lab.market.app.uow() as uow:
        assert uow.training_jobs.find(job.id) == job
        uow.training_jobs.write(ended)
        assert uow.training_jobs.find(job.id, for_update=True) == ended
        assert uow.training_jobs.find(TrainingJobId(new_id())) is None


def test_jobs_are_listed_by_account_newest_first_in_pages(lab: Lab) -> None:
    first, second, third = (make(lab.market) for _ in range(3))
    other = make(lab.market, account_id=lab.market.provider.account_id)
    account = lab.market.buyer.account_id
    with lab.market.app.uow() as uow:
        assert uow.training_jobs.page(account, 2, None) == [third, second]
        assert uow.training_jobs.page(account, 2, second.id) == [first]
        assert uow.training_jobs.page(None, 10, None) == [other, third, second, first]
        assert uow.training_jobs.open_of(account) == 3
        ended = replace(first, state=JobState.CANCELLED, reason=EndReason.CANCELLED_BY_USER, ended_at=NOW)
        uow.training_jobs.write(ended)
        assert uow.training_jobs.open_of(account) == 2


def test_replicas_take_different_jobs_the_one_that_waited_longest_first(lab: Lab) -> None:
    later = make(lab.market, claimed_until=NOW)
    sooner = make(lab.market, claimed_until=NOW - timedelta(seconds=1))
    make(lab.market, claimed_until=NOW + timedelta(seconds=1))
    make(lab.market, state=JobState.FAILED, reason=EndReason.NO_QUORUM, ended_at=NOW)
    until = NOW + timedelta(seconds=30)
    with lab.market.app.uow() as one, lab.market.app.uow() as two, lab.market.app.uow() as three:
        claimed = [uow.training_jobs.claim(NOW, until) for uow in (one, two, three)]
        assert claimed == [replace(sooner, claimed_until=until), replace(later, claimed_until=until), None]
        one.training_jobs.let_go(sooner.id, NOW)
        one.commit()
        two.commit()
    with lab.market.app.uow() as uow:
        again = uow.training_jobs.claim(NOW, until)
        assert again is not None
        assert again.id == sooner.id


def test_a_job_has_one_open_round_and_all_its_rounds_by_number_and_attempt(lab: Lab) -> None:
    job = make(lab.market)
    failed = round_of(job, state=RoundState.FAILED, ended_at=NOW)
    done = round_of(job, attempt=2, state=RoundState.AGGREGATED, ended_at=NOW, weights=WEIGHTS)
    under_way = round_of(job, number=2)
    with lab.market.app.uow() as uow:
        assert uow.training_rounds.open_of(job.id) is None
        for one in (under_way, done, failed):
            uow.training_rounds.add(one)
        scored = replace(done, metrics={"loss": 0.25, "accuracy": 1.0}, epsilon=1.5)
        uow.training_rounds.write(scored)
        assert uow.training_rounds.of_job(job.id) == [failed, scored, under_way]
        assert uow.training_rounds.open_of(job.id) == under_way
        with pytest.raises(IntegrityError, match="uq_training_rounds_open"):
            uow.training_rounds.add(round_of(job, number=3))


def participants(lab: Lab) -> tuple[TrainingJob, Round, list[Participant]]:
    """A round that asks every node of the lab."""
    job = make(lab.market)
    one = round_of(job)
    asked = [
        Participant(ParticipantId(new_id()), one.id, job.id, node.id, order.id, ParticipantState.ASKED, asked_at=NOW)
        for node, order in zip(lab.nodes, lab.place(), strict=True)
    ]
    with lab.market.app.uow() as uow:
        uow.training_rounds.add(one)
        uow.training_participants.add(asked)
        uow.commit()
    return job, one, asked


def test_participants_are_read_as_they_were_written_and_counted(lab: Lab) -> None:
    _, one, asked = participants(lab)
    first, second, third = asked
    judged = [
        replace(
            first,
            state=ParticipantState.ACCEPTED,
            examples=100,
            update_sha256="ab" * 32,
            metrics={"loss": 2.0},
            ended_at=NOW,
        ),
        replace(second, state=ParticipantState.REJECTED, reason="not_finite", ended_at=NOW),
    ]
    another = lab.place()[0].id
    with lab.market.app.uow() as uow:
        assert uow.training_participants.of_round(one.id) == asked
        uow.training_participants.write(judged)
        assert uow.training_participants.of_round(one.id, for_update=True) == [*judged, third]
        counts = uow.training_participants.counts([one.id])
        states = [ParticipantState.ACCEPTED, ParticipantState.REJECTED, ParticipantState.ASKED]
        assert counts == {one.id: Counter(states)}
        with pytest.raises(IntegrityError, match="uq_training_participants_round_id_node_id"):
            uow.training_participants.add([replace(third, id=ParticipantId(new_id()), order_id=another)])


def test_standings_show_order_item_and_node_of_each_participant_in_one_statement(lab: Lab) -> None:
    job, one, asked = participants(lab)
    first, second, _ = lab.claim()
    lab.report([first])
    with lab.market.app.uow() as uow, Statements(lab.market.app.engine) as statements:
        found = uow.training_participants.standings(one.id, utc_now())
    assert statements.count == 1
    assert [standing.participant for standing in found] == asked
    assert [standing.node_name for standing in found] == ["n0", "n1", "n2"]
    assert {standing.order_state for standing in found} == {OrderState.RUNNING}
    assert [standing.item_state for standing in found] == [ItemState.REPORTED, ItemState.RUNNING, ItemState.RUNNING]
    assert [standing.outputs for standing in found] == [UPDATE, None, None]
    assert (found[0].item_id, found[0].fence) == (first.item_id, first.fence)
    assert all(standing.node_alive for standing in found)
    lab.judge([asked[0].order_id, asked[1].order_id], [first.item_id], {second.item_id: "not reported at all"})
    with lab.market.app.uow() as uow:
        late = uow.training_participants.standings(one.id, in_seconds(AGENT_LOST_S + 1))
        charged = late[0].charged_nano
        assert charged > 0
        assert not any(standing.node_alive for standing in late)
        assert [standing.item_state for standing in late][:2] == [ItemState.SETTLED, ItemState.CANCELLED]
        assert uow.training_jobs.charged_of([job.id]) == {job.id: charged}
        assert uow.training_participants.charged_of([one.id]) == {one.id: charged}
        assert uow.training_jobs.open_nano_of([job.id])[job.id] == lab.market.wallet().reserved_nano > 0


def test_a_node_has_its_own_share_of_a_jobs_data_and_a_history(lab: Lab) -> None:
    job = make(lab.market)
    first, second, third = (TrainingNode(job.id, node.id, place) for place, node in enumerate(lab.nodes))
    changed = [
        replace(first, asked=2, accepted=1, failed=1, examples=100, fit_us=7_000_000),
        replace(second, asked=1, declined="no such trainer"),
    ]
    with lab.market.app.uow() as uow:
        uow.training_nodes.add([first, second])
        uow.training_nodes.write(changed)
        uow.training_nodes.write([])
        assert uow.training_nodes.of_job(job.id) == {one.node_id: one for one in changed}
        with pytest.raises(IntegrityError, match="uq_training_nodes_job_id_partition"):
            uow.training_nodes.add([replace(third, partition=1)])


def test_candidates_are_living_nodes_with_an_offer_idle_and_trusted_ones_first(lab: Lab) -> None:
    market, classes = lab.market, ["fog"]
    busy, plain, trusted = lab.nodes
    now = utc_now()
    silent = market.node("silent", pool="silent")
    elsewhere = market.node("elsewhere", region="south")
    other_class = market.node("cloud", kind="cloud")
    drained = market.node("drained")
    unoffered = market.node("unoffered")
    with market.app.uow() as uow:
        uow.offers.withdraw(unoffered.id)
        uow.nodes.set_state(drained.id, NodeState.DRAINING)
        uow.nodes.take({busy.id: 1})
        uow.trust.write_scores({trusted.id: 900_000})
        uow.commit()
    north = Place("fog", "north")
    with market.app.uow() as uow:
        found = uow.training_nodes.candidates(classes, "north", 0, now, 10)
        assert found == [
            CandidateNode(trusted.id, "n2", 900_000, 1, north),
            CandidateNode(plain.id, "n1", plain.trust_ppm, 1, north),
            CandidateNode(busy.id, "n0", busy.trust_ppm, 0, north),
        ]
        assert uow.training_nodes.candidates(classes, "north", 0, now, 1) == found[:1]
        assert uow.training_nodes.candidates(classes, "north", 100_000, now, 10) == found[:1]
        anywhere = uow.training_nodes.candidates(["fog", "cloud"], None, 0, now, 10)
        assert {one.node_id for one in anywhere} == {
            *(node.id for node in lab.nodes),
            elsewhere.id,
            other_class.id,
        }
        assert uow.training_nodes.candidates(classes, None, 0, in_seconds(AGENT_LOST_S + 1), 10) == []
        assert silent.id not in {one.node_id for one in anywhere}
