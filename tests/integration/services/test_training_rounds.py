"""Rounds in which not all goes well: drop-outs are replaced, stragglers cut off, and no round waits for ever."""

import pytest

from backend.bootstrap import utc_now
from backend.domain.federated.states import EndReason, JobState, ParticipantState, RoundState
from backend.services import sweeper
from tests.integration.services.clock import in_seconds
from tests.integration.services.training import (
    AIM,
    Training,
    failing,
    sending,
    silent,
    without_data,
)
from tests.market import Market

pytestmark = pytest.mark.usefixtures("books_in_order")

ACCEPTED, DROPPED, LATE = ParticipantState.ACCEPTED, ParticipantState.DROPPED, ParticipantState.LATE


def test_who_has_no_data_is_replaced_and_never_asked_again(market: Market) -> None:
    training = Training.of(market, 6)
    for node in training.nodes[:3]:
        training.acts[node.id] = without_data
    name = training.submit(rounds=4)
    ended = training.run(name)
    assert (ended.job.state, ended.job.round) == (JobState.DONE, 4)
    asked = [node for node, _ in training.fitted]
    assert all(asked.count(node.id) <= 1 for node in training.nodes[:3])
    declined = [s for n in (1, 2, 3, 4) for s in training.participants(name, n).values() if s.charged_nano == 0]
    assert {(s.participant.state, s.participant.reason) for s in declined} == {(DROPPED, "no data here")}
    assert len(declined) == 3


def test_a_trainer_that_breaks_on_a_node_is_replaced_by_another_node(market: Market) -> None:
    training = Training.of(market, 5)
    training.acts[training.nodes[0].id] = failing
    training.acts[training.nodes[1].id] = failing
    name = training.submit(rounds=1, participants=3, participants_min=3)
    ended = training.run(name)
    assert ended.job.state is JobState.DONE
    states = training.states(name)
    assert sorted(states.values()) == [ACCEPTED] * 3 + [DROPPED] * (len(states) - 3)
    broken = [s.participant.reason for s in training.participants(name).values() if s.participant.state is DROPPED]
    assert set(broken) <= {"the trainer broke"}


def test_a_node_that_dies_in_mid_round_is_replaced_and_the_round_does_not_wait_for_it(market: Market) -> None:
    training = Training.of(market, 3)
    market.node("doomed", pool="doomed", kind="cloud")
    market.executor("doomed")
    name = training.submit(rounds=1, participants=4, participants_min=3)
    training.step(steps=2)
    assert set(training.participants(name)) == {"doomed", "n0", "n1", "n2"}
    market.node("spare")
    items = training.lease()
    assert len(items) == 3
    training.executor.beat()
    with market.app.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE agents SET beat_at = beat_at - interval '1 min' WHERE queue = 'pool.doomed'")
    sweeper.sweep(market.app.uow(), utc_now())
    training.step()
    states = training.states(name)
    assert states["doomed"] is DROPPED
    assert states["spare"] is ParticipantState.ASKED
    training.finish(items)
    ended = training.run(name)
    assert ended.job.state is JobState.DONE
    assert training.participants(name)["doomed"].participant.reason == "node_lost"
    assert training.participants(name)["doomed"].charged_nano == 0


def test_sixty_nodes_of_which_a_third_dies_in_mid_round_finish_their_rounds_without_them(market: Market) -> None:
    training = Training.of(market, 42)
    for number in range(18):
        market.node(f"doomed{number}", pool="doomed")
    market.executor("doomed")
    name = training.submit(rounds=2, participants=60, participants_min=40)
    training.step(steps=2)
    assert len(training.states(name)) == 60
    market._beats = market._beats[:1]
    with market.app.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE agents SET beat_at = beat_at - interval '1 min' WHERE queue = 'pool.doomed'")
    ended = training.run(name)
    assert (ended.job.state, ended.job.round) == (JobState.DONE, 2)
    first, second = training.rounds(name)
    assert first.counts == {ACCEPTED: 42, DROPPED: 18}
    assert second.counts == {ACCEPTED: 42}
    assert market.wallet().reserved_nano == 0


def test_at_the_deadline_a_quorum_is_enough_and_late_updates_are_void_and_unpaid(market: Market) -> None:
    training = Training.of(market, 3)
    name = training.submit(rounds=1)
    training.step(steps=2)
    items = training.lease()
    training.finish(items[:2])
    training.step(in_seconds(59))
    assert training.show(name).job.state is JobState.RUNNING
    training.step(in_seconds(61))
    assert training.show(name).job.state is JobState.AGGREGATING
    assert training.finish(items[2:]) == set()
    ended = training.run(name)
    assert (ended.job.state, ended.job.reason) == (JobState.DONE, EndReason.ROUNDS_DONE)
    assert sorted(training.states(name).values()) == [ACCEPTED, ACCEPTED, LATE]
    late = next(s for s in training.participants(name).values() if s.participant.state is LATE)
    assert (late.participant.reason, late.charged_nano) == ("too_late", 0)
    assert market.wallet().reserved_nano == 0


def test_a_round_without_a_quorum_is_tried_once_more_and_then_the_job_fails(market: Market) -> None:
    training = Training.of(market, 3)
    for node in training.nodes:
        training.acts[node.id] = silent
    before = market.wallet()
    name = training.submit(rounds=5)
    training.step(steps=2)
    training.fit()
    training.step(in_seconds(61))
    assert training.show(name).job.state is JobState.SELECTING
    training.step()
    training.fit()
    training.step(in_seconds(61))
    ended = training.show(name)
    assert (ended.job.state, ended.job.reason) == (JobState.FAILED, EndReason.NO_QUORUM)
    rounds = [(r.round.number, r.round.attempt, r.round.state) for r in training.rounds(name)]
    assert rounds == [(1, 1, RoundState.FAILED), (1, 2, RoundState.FAILED)]
    assert market.wallet() == before


def test_after_a_failed_round_a_job_does_not_wait_for_nodes_for_ever(market: Market) -> None:
    training = Training.of(market, 3)
    for node in training.nodes:
        training.acts[node.id] = without_data
    name = training.submit(rounds=2)
    training.step(steps=2)
    training.fit()
    training.step()
    training.step(in_seconds(61))
    training.step(in_seconds(62))
    assert training.show(name).job.state is JobState.SELECTING
    training.step(in_seconds(122))
    ended = training.show(name)
    assert (ended.job.state, ended.job.reason) == (JobState.FAILED, EndReason.NO_QUORUM)


def test_a_failed_round_that_is_made_good_counts_no_more(market: Market) -> None:
    training = Training.of(market, 3)
    for node in training.nodes:
        training.acts[node.id] = silent
    name = training.submit(rounds=2)
    training.step(steps=2)
    training.fit()
    training.step(in_seconds(61))
    training.acts.clear()
    ended = training.run(name)
    assert (ended.job.state, ended.job.round, ended.job.failed_rounds) == (JobState.DONE, 2, 0)
    assert training.weights(name) == pytest.approx([3 / 4 * one for one in AIM])


def test_with_fewer_nodes_than_wanted_a_round_takes_what_there_is(market: Market) -> None:
    training = Training.of(market, 2)
    name = training.submit(rounds=1, participants=5)
    ended = training.run(name)
    assert ended.job.state is JobState.DONE
    assert list(training.states(name).values()) == [ACCEPTED] * 2


def test_a_round_begins_once_there_are_nodes_for_a_quorum(market: Market) -> None:
    training = Training.of(market, 1)
    name = training.submit(rounds=1)
    training.step(steps=5)
    assert (training.show(name).job.state, training.rounds(name)) == (JobState.SELECTING, [])
    market.node("another")
    training.step()
    assert training.show(name).job.state is JobState.RUNNING


def test_a_node_that_comes_while_a_round_wants_more_is_asked(market: Market) -> None:
    training = Training.of(market, 2)
    name = training.submit(rounds=1)
    training.step(steps=2)
    assert len(training.states(name)) == 2
    market.node("another")
    training.step()
    assert len(training.states(name)) == 3


def test_no_more_than_twice_the_wanted_nodes_are_asked_in_a_round(market: Market) -> None:
    training = Training.of(market, 9)
    for node in training.nodes:
        training.acts[node.id] = without_data
    name = training.submit(rounds=1, round_s=10)
    for _ in range(6):
        training.step()
        training.fit()
    assert len(training.states(name)) == 6


def test_an_order_that_finds_no_slot_makes_room_for_another_nodes(market: Market) -> None:
    training = Training.of(market, 3)
    name = training.submit(rounds=1)
    training.step(steps=2)
    market.node("spare")
    training.step()
    assert "spare" not in training.states(name)
    with market.app.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE training_participants SET asked_at = asked_at - interval '11 s'"
            " WHERE id = (SELECT min(id::text)::uuid FROM training_participants)"
        )
    training.step()
    states = training.states(name)
    assert states["spare"] is ParticipantState.ASKED
    assert [s.participant.reason for s in training.participants(name).values()].count("no_lease") == 1


def test_nodes_take_turns_over_the_rounds(market: Market) -> None:
    training = Training.of(market, 6)
    for node in training.nodes:
        training.acts[node.id] = sending(examples=10)
    training.run(training.submit(rounds=4))
    asked = [node for node, _ in training.fitted]
    assert [asked.count(node.id) for node in training.nodes] == [2] * 6


def test_participants_of_a_round_have_seeds_and_shares_of_their_own_that_stay(market: Market) -> None:
    training = Training.of(market, 3)
    training.run(training.submit(rounds=2))
    tasks = [task for _, task in training.fitted]
    assert len({task.seed for task in tasks}) == 6
    assert sorted(task.partition for task in tasks) == [0, 0, 1, 1, 2, 2]
    shares = {(node, task.partition) for node, task in training.fitted}
    assert len(shares) == 3
