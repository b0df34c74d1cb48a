"""How training jobs end: by their target, by patience, for want of money or privacy, by their owner, or by a fault."""

import shutil
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal, Role
from backend.domain.errors import Conflict
from backend.domain.federated.jobs import Privacy, Target
from backend.domain.federated.states import EndReason, JobState, ParticipantState
from backend.domain.federated.tasks import WeightsRef, update_key
from backend.domain.ids import ItemId
from backend.services import training_files, training_jobs, training_run
from backend.storage.objects import ObjectStore
from tests.integration.services.clock import in_seconds
from tests.integration.services.registering import register
from tests.integration.services.training import AIM, Training, sending, taking
from tests.market import ASK, Market

pytestmark = pytest.mark.usefixtures("books_in_order")
FIT_NANO = 5 * ASK  # what a fit of 5 s costs at most at the ask of the tests' nodes


@pytest.fixture
def training(market: Market) -> Training:
    """A market with three nodes that can take part."""
    return Training.of(market, 3)


@pytest.mark.parametrize(
    ("target", "reason", "rounds"),
    [
        (Target("loss", value=3.0), EndReason.TARGET_REACHED, 2),
        (Target("accuracy", higher_is_better=True, value=0.4), EndReason.TARGET_REACHED, 3),
        (Target("loss", higher_is_better=True, patience=2), EndReason.PATIENCE_LOST, 3),
        (Target("loss", patience=2), EndReason.ROUNDS_DONE, 5),
    ],
    ids=["less is reached", "more is reached", "no better for two rounds", "always better"],
)
def test_a_job_ends_by_its_target_or_by_patience(
    training: Training, target: Target, reason: EndReason, rounds: int
) -> None:
    ended = training.run(training.submit(rounds=5, target=target))
    assert (ended.job.state, ended.job.reason, ended.job.round) == (JobState.DONE, reason, rounds)
    assert ended.job.result_model_id is not None


def test_a_job_stops_before_its_epsilon_would_be_passed(training: Training) -> None:
    privacy = Privacy("central", clip=100.0, noise_multiplier=1e-9, epsilon_max=2.5e9)
    name = training.submit(rounds=5, privacy=privacy)
    ended = training.run(name)
    assert (ended.job.state, ended.job.reason, ended.job.round) == (JobState.DONE, EndReason.EPSILON_SPENT, 2)
    assert [r.round.epsilon for r in training.rounds(name)] == pytest.approx([1e9, 2e9])
    assert ended.job.epsilon == pytest.approx(2e9)


def test_a_job_whose_first_round_would_tell_too_much_fails_and_asks_nobody(training: Training) -> None:
    ended = training.run(training.submit(privacy=Privacy("local", 1.0, 0.1, epsilon_max=5.0)))
    assert (ended.job.state, ended.job.reason) == (JobState.FAILED, EndReason.EPSILON_SPENT)
    assert training.fitted == []


@pytest.mark.parametrize(("mode", "noise"), [("central", 0.0), ("local", 6.0)])
def test_participants_clip_in_both_modes_and_add_noise_only_if_it_is_theirs(
    training: Training, mode: str, noise: float
) -> None:
    training.run(training.submit(rounds=1, privacy=Privacy(mode, clip=3.0, noise_multiplier=2.0)))
    assert [(t.privacy.clip, t.privacy.noise_std) for _, t in training.fitted if t.privacy] == [(3.0, noise)] * 3


def test_central_noise_is_on_the_weights_and_every_update_counts_alike(training: Training) -> None:
    name = training.submit(rounds=1, privacy=Privacy("central", clip=1e6, noise_multiplier=1e-6))
    training.run(name)
    expected = training.tools.rng().standard_normal(4, "float32") / 3
    assert training.weights(name) == pytest.approx([a / 2 + n for a, n in zip(AIM, expected, strict=True)], abs=1e-5)


def test_a_budget_that_pays_for_no_further_round_ends_the_job_with_what_it_learned(
    training: Training, market: Market
) -> None:
    training.acts = dict.fromkeys((node.id for node in training.nodes), taking(400_000))
    name = training.submit(rounds=50, participants=3, max_budget_nano=2 * FIT_NANO + 5_000)
    ended = training.run(name)
    assert (ended.job.state, ended.job.reason) == (JobState.DONE, EndReason.BUDGET_SPENT)
    assert 0 < ended.charged_nano <= 2 * FIT_NANO + 5_000
    assert 1 <= ended.job.round < 50
    assert {len(training.states(name, r.round.number)) for r in training.rounds(name)} == {2}
    assert market.wallet().reserved_nano == 0


def test_an_empty_wallet_ends_the_job(market: Market) -> None:
    training = Training.of(market, 3)
    market.buyer = market.account("poor", FIT_NANO)
    ended = training.run(training.submit(rounds=2))
    assert (ended.job.state, ended.job.reason) == (JobState.FAILED, EndReason.INSUFFICIENT_FUNDS)
    assert market.wallet().reserved_nano == 0


def test_a_wallet_that_pays_for_a_quorum_is_enough(market: Market) -> None:
    training = Training.of(market, 3)
    market.buyer = market.account("modest", 5 * FIT_NANO)  # at the limit, twice the spot price, two fits are 4
    name = training.submit(rounds=1)
    ended = training.run(name)
    assert ended.job.state is JobState.DONE
    assert len(training.states(name)) == 2


def test_a_job_past_its_deadline_ends_with_what_it_has(training: Training) -> None:
    name = training.submit(rounds=100, deadline_s=3_600)
    training.run_until(name, lambda view: view.job.round == 2 and view.job.state is JobState.SELECTING)
    training.step(in_seconds(3_601), steps=2)
    ended = training.show(name)
    assert (ended.job.state, ended.job.reason, ended.job.round) == (JobState.DONE, EndReason.DEADLINE_PASSED, 2)


STATES = [JobState.SELECTING, JobState.RUNNING, JobState.AGGREGATING, JobState.EVALUATING]


def test_a_job_waits_while_the_market_is_taken(training: Training, market: Market) -> None:
    with market.app.engine.begin() as connection:
        connection.execute(text("UPDATE nodes SET busy_slots = slots WHERE name <> 'n0'"))
    name = training.submit()
    training.step(steps=4)
    assert (training.show(name).job.state, training.rounds(name)) == (JobState.SELECTING, [])
    with market.app.engine.begin() as connection:
        connection.execute(text("UPDATE nodes SET busy_slots = 0"))
    assert training.run(name).job.state is JobState.DONE


@pytest.mark.parametrize("state", STATES)
def test_a_cancelled_job_keeps_its_last_checkpoint_and_pays_only_what_was_accepted(
    training: Training, market: Market, state: JobState
) -> None:
    name = training.submit(rounds=5)
    training.run_until(name, lambda view: view.job.round >= 1 and view.job.state is state)
    before = training.show(name)
    assert training.cancel(name).job.cancel_requested
    assert training.cancel(name).job.cancel_requested
    training.step()
    assert not [key for key in dict(training.objects.keys()) if "/updates/" in key]
    ended = training.show(name)
    assert (ended.job.state, ended.job.reason) == (JobState.CANCELLED, EndReason.CANCELLED_BY_USER)
    assert ended.job.weights == before.job.weights
    assert training.weights(name) == training.weights(name, ended.job.round)
    training.fit()
    market.settle()
    wallet = market.wallet()
    assert (training.show(name).charged_nano, wallet.reserved_nano) == (before.charged_nano, 0)
    undone = {ParticipantState.ASKED, ParticipantState.REPORTED}
    assert all(undone.isdisjoint(r.counts) for r in training.rounds(name))


def test_a_job_that_has_ended_cannot_be_cancelled(training: Training) -> None:
    name = training.submit(rounds=1)
    training.run(name)
    with pytest.raises(Conflict) as refused:
        training.cancel(name)
    assert refused.value.code == "job_ended"


def test_a_trainer_that_cannot_begin_fails_the_job_with_the_reason(training: Training) -> None:
    training.tools.breaks = {"initial"}
    ended = training.run(training.submit())
    assert (ended.job.state, ended.job.reason) == (JobState.FAILED, EndReason.TRAINER_FAILED)
    assert ended.job.result_error == "initial broke"


@pytest.mark.parametrize("breaks", [True, False], ids=["evaluation breaks", "no data to evaluate on"])
def test_without_an_evaluation_the_metrics_of_participants_count(training: Training, breaks: bool) -> None:
    training.tools.breaks = {"evaluate"} if breaks else set()
    training.tools.evaluates = breaks
    for node, loss, examples in zip(training.nodes, (1.0, 2.0, 6.0), (1, 1, 2), strict=True):
        training.acts[node.id] = sending(metrics={"loss": loss}, examples=examples)
    name = training.submit(rounds=1)
    assert training.run(name).job.state is JobState.DONE
    [told] = training.rounds(name)
    assert told.round.metrics == pytest.approx({"loss": 15 / 4})


def test_a_trainer_without_an_export_leaves_weights_to_download(training: Training) -> None:
    training.tools.exports = False
    name = training.submit(rounds=1)
    ended = training.run(name)
    assert (ended.job.state, ended.job.result_model_id) == (JobState.DONE, None)
    assert "no export" in str(ended.job.result_error)
    assert training.weights(name) == pytest.approx([one / 2 for one in AIM])


def test_an_export_that_breaks_fails_the_job_and_leaves_the_weights(training: Training) -> None:
    training.tools.breaks = {"export"}
    name = training.submit(rounds=1)
    ended = training.run(name)
    assert (ended.job.state, ended.job.reason) == (JobState.FAILED, EndReason.EXPORT_FAILED)
    assert ended.job.result_error == "trainer_failed: export broke"
    assert training.weights(name) == pytest.approx([one / 2 for one in AIM])


def test_a_name_that_somebody_takes_meanwhile_is_not_overwritten(training: Training, market: Market) -> None:
    name = training.submit(rounds=1, name="taken")
    other = market.account("other")
    with market.app.uow() as uow:
        uow.models.touch("taken", other.account_id)
        uow.commit()
    register(market, market.app.folder, "taken", by=replace(other, role=Role.ADMIN))
    ended = training.run(name)
    assert (ended.job.reason, ended.job.result_model_id) == (EndReason.EXPORT_FAILED, None)
    assert str(ended.job.result_error).startswith("not_the_owner: ")


def test_a_result_can_be_gone_on_from_by_its_owner(training: Training, market: Market) -> None:
    training.run(training.submit(rounds=1, name="first"))
    name = training.submit(rounds=1, model="first")
    ended = training.run(name)
    assert ended.job.state is JobState.DONE
    assert training.weights(name, 0) == pytest.approx([one / 2 for one in AIM])
    assert training.weights(name) == pytest.approx([3 / 4 * one for one in AIM])
    assert "initial" not in training.tools.calls[training.tools.calls.index("export") :]


def test_a_lost_checkpoint_ends_the_job_and_frees_its_money(training: Training, market: Market) -> None:
    name = training.submit(rounds=3)
    training.run_until(name, lambda view: view.job.state is JobState.AGGREGATING)
    training.objects.delete_folder(f"training/{training.show(name).job.id}/")
    training.step()
    ended = training.show(name)
    assert (ended.job.state, ended.job.reason) == (JobState.FAILED, EndReason.TRAINER_FAILED)
    assert "lost" in str(ended.job.result_error)
    assert (ended.charged_nano, market.wallet().reserved_nano) == (0, 0)


def test_a_step_that_never_succeeds_is_given_up_long_after_the_deadline(training: Training, market: Market) -> None:
    name = training.submit(rounds=1, deadline_s=60)
    training.run_until(name, lambda view: view.job.state is JobState.AGGREGATING)
    training.step(in_seconds(60 + 3_601))
    ended = training.show(name)
    assert (ended.job.state, ended.job.reason) == (JobState.FAILED, EndReason.TRAINER_FAILED)
    assert market.wallet().reserved_nano == 0


def test_the_webhook_of_a_job_is_owed_its_end_once(training: Training, market: Market) -> None:
    name = training.submit(rounds=1, webhook="https://example.com/hook")
    ended = training.run(name)
    training.step(steps=2)
    with market.app.uow() as uow:
        [owed] = uow.account_deliveries.of_subject(f"training job {ended.job.id}")
    assert owed.body["type"] == "training_job.done"
    assert owed.body["data"] == {"id": name, "reason": "rounds_done", "rounds": 1}


def test_updates_of_a_round_are_gone_when_it_is_over(training: Training) -> None:
    name = training.submit(rounds=2)
    training.run(name)
    keys = [key for key in dict(training.objects.keys()) if key.startswith("training/")]
    assert [key for key in keys if "/updates/" in key] == []
    assert len([key for key in keys if key.endswith(".safetensors")]) == 3


def test_an_update_that_comes_when_its_round_is_over_is_dropped_later(training: Training, market: Market) -> None:
    name = training.submit(rounds=2)
    training.run_until(name, lambda view: view.job.round == 1)
    job_id = training_jobs.parse_job_name(name)
    early, late = (update_key(job_id, number, ItemId(new_id()), 1) for number in (1, 2))
    training.objects.put(b"of the round before", early)
    training.run(name)
    assert not training.objects.exists(early), "gone with the next round's"

    training.objects.put(b"of the last round", late)
    for minutes, is_there in ((4, True), (6, False)):
        training_run.drop_late_updates(market.app.uow(), utc_now() + timedelta(minutes=minutes), training.objects)
        assert training.objects.exists(late) is is_there


def test_nobody_sees_or_cancels_a_job_of_somebody_else(training: Training, market: Market) -> None:
    name = training.submit()
    stranger = Principal(None, market.account("stranger").account_id, Role.USER)
    uow = market.app.uow()
    for ask in (
        lambda: training_jobs.show_job(uow, name, stranger),
        lambda: training_jobs.rounds_of(uow, name, stranger),
        lambda: training_jobs.participants_of(uow, name, 1, stranger),
        lambda: training_jobs.cancel_job(uow, utc_now(), name, stranger),
        lambda: training_jobs.weights_of(uow, training.objects, name, stranger),
    ):
        with pytest.raises(Exception, match=f"no training job {name}"):
            ask()


def test_a_job_whose_step_breaks_is_put_off_and_others_go_on(
    training: Training, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = training.submit(privacy=Privacy("central", 1.0, 1.0))

    def epsilon(*_: object) -> float:
        raise OverflowError("too large")

    monkeypatch.setattr(training.tools, "epsilon", epsilon)
    now = utc_now()
    assert training_run.work(market.app.uow, now, training.objects, training.tools)
    well = training.submit(rounds=1)
    for _ in range(2):
        assert training_run.work(market.app.uow, utc_now(), training.objects, training.tools)
    assert training.show(well).job.state is JobState.RUNNING
    later = now + training_run.BROKEN_WAIT
    with market.app.uow() as uow:
        claimed = [uow.training_jobs.claim(later, in_seconds(60)) for _ in range(2)]
    assert training.show(broken).job.id in {job.id for job in claimed if job}
    assert training.show(broken).job.state is JobState.SELECTING


def test_a_failed_round_that_told_of_participants_counts_towards_epsilon(training: Training) -> None:
    for node in training.nodes:
        training.acts[node.id] = sending(name="0001")
    ended = training.run(training.submit(privacy=Privacy("local", 1.0, 1.0, epsilon_max=1.5)))
    assert (ended.job.state, ended.job.reason) == (JobState.FAILED, EndReason.EPSILON_SPENT)
    assert len(training.fitted) == 3


def test_a_store_that_is_away_for_a_while_ends_no_job_and_blames_nobody(
    training: Training, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = training.submit(rounds=1)
    training.run_until(name, lambda view: view.job.state is JobState.AGGREGATING)
    root = market.app.folder / "nowhere"
    away = ObjectStore(str(root))
    shutil.rmtree(root, ignore_errors=True)
    training.due()
    assert not training_run.work(market.app.uow, utc_now(), away, training.tools)
    here = iter([True, False])
    monkeypatch.setattr(away, "is_here", lambda: next(here, False))  # it goes away just after the step began
    assert training_run.work(market.app.uow, utc_now(), away, training.tools)
    assert training.show(name).job.state is JobState.AGGREGATING
    ref = WeightsRef("update", "0" * 64, 10)
    with pytest.raises(FileNotFoundError):
        training_files.fetch_update(away, ref, market.app.folder / "copy")
    ended = training.run(name)
    assert (ended.job.state, ended.job.round) == (JobState.DONE, 1)
