"""Updates that cannot be used: refused with a reason, unpaid, held against their nodes where their form is wrong, and
the round goes on.
"""

import numpy as np
import pytest
from sqlalchemy import event, text

from backend.bootstrap import utc_now
from backend.domain.federated.states import EndReason, JobState, ParticipantState
from backend.domain.federated.tasks import LocalTask, read_task, update_key
from backend.domain.work import ClaimedItem, ItemResult
from backend.services import judging
from tests.integration.services.training import AIM, Fit, Training, honest, send, sending, values_of, without_data
from tests.market import Market

pytestmark = pytest.mark.usefixtures("books_in_order")


def huge(values: np.ndarray) -> np.ndarray:
    return values * np.float32(1e30)


def with_nan(values: np.ndarray) -> np.ndarray:
    return np.where(values > 1, np.nan, values)


def never_stored(training: Training, item: ClaimedItem, task: LocalTask) -> ItemResult:
    return send(training, item, task, {"0000": values_of(training, task)}, key="training/elsewhere")


BAD: dict[str, tuple[Fit, str]] = {
    "a shape of its own": (sending(lambda values: values.reshape(2, 2)), "wrong_shape"),
    "more numbers": (sending(lambda values: np.append(values, 1)), "wrong_shape"),
    "another name": (sending(name="0001"), "wrong_names"),
    "not a number": (sending(with_nan), "not_finite"),
    "infinite": (sending(lambda values: values / 0), "not_finite"),
    "huge": (sending(huge), "out_of_range"),
    "truncated": (sending(change=lambda content: content[:-5]), "checksum_mismatch"),
    "longer than it says": (sending(change=lambda content: content + bytes(100)), "checksum_mismatch"),
    "another file than it says": (sending(sha256="0" * 64), "checksum_mismatch"),
    "never stored": (never_stored, "checksum_mismatch"),
}


def evidence(market: Market) -> list[tuple[str, str]]:
    """What was recorded of nodes: name and kind."""
    with market.app.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT n.name, e.kind FROM trust_events e JOIN nodes n ON n.id = e.node_id ORDER BY n.name, e.kind")
        )
        return [(row.name, row.kind) for row in rows]


@pytest.mark.parametrize("what", BAD)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:overflow")
def test_a_bad_update_is_refused_with_its_reason_and_the_round_goes_on(market: Market, what: str) -> None:
    training = Training.of(market, 3)
    bad, code = BAD[what]
    training.acts[training.nodes[1].id] = bad
    name = training.submit(rounds=1)
    ended = training.run(name)
    assert (ended.job.state, ended.job.round) == (JobState.DONE, 1)
    found = training.participants(name)
    refused = found["n1"]
    assert refused.participant.state is ParticipantState.REJECTED
    assert str(refused.participant.reason).startswith(f"{code}: ")
    assert refused.charged_nano == 0
    assert all(found[node].charged_nano > 0 for node in ("n0", "n2"))
    assert training.weights(name) == pytest.approx([one / 2 for one in AIM])
    against = [] if code in ("not_finite", "out_of_range") else [("n1", "update_rejected")]
    assert evidence(market) == [("n0", "served"), *against, ("n2", "served")]
    assert market.wallet().reserved_nano == 0


def test_a_node_that_says_what_nobody_can_read_is_refused_and_another_asked(market: Market) -> None:
    training = Training.of(market, 4)
    name = training.submit(rounds=1)
    training.step(steps=2)
    first = training.participants(name)
    liar = next(iter(first.values())).participant.node_id
    training.acts[liar] = lambda _, item, __: ItemResult(item.item_id, item.fence, 5, b'{"local_result": {}}')
    ended = training.run(name)
    assert ended.job.state is JobState.DONE
    states = sorted(training.states(name).values())
    assert states == [ParticipantState.ACCEPTED] * 3 + [ParticipantState.REJECTED]


def test_an_update_of_an_earlier_round_counts_nowhere_else(market: Market) -> None:
    training = Training.of(market, 3)
    replayed = training.nodes[0].id

    def replay(training: Training, item: ClaimedItem, task: LocalTask) -> ItemResult:
        """In the second round, stores and says again under its old name what it did in the first."""
        if task.round == 1:
            return honest(training, item, task)
        return send(training, item, task, {"0000": values_of(training, task)}, key=old[0])

    old: list[str] = []
    training.acts[replayed] = replay
    name = training.submit(rounds=2)
    training.run_until(name, lambda view: view.job.state is JobState.AGGREGATING)
    mine = training.participants(name)["n0"]
    old.append(update_key(training.show(name).job.id, 1, mine.item_id, mine.fence))
    ended = training.run(name)
    assert ended.job.round == 2
    assert training.states(name, 2)["n0"] is ParticipantState.REJECTED
    assert training.weights(name) == pytest.approx([3 / 4 * one for one in AIM])


def test_a_result_from_a_node_that_was_not_asked_is_void(market: Market) -> None:
    training = Training.of(market, 4)
    name = training.submit(rounds=1)
    training.step(steps=2)
    items = training.lease()
    stranger = market.executor("elsewhere")
    assert len(items) == 3
    result = honest(training, items[0], read_task(items[0].inputs))
    assert stranger.database.commit(stranger.id, [result]) == set()
    assert set(training.states(name).values()) == {ParticipantState.ASKED}


def test_without_a_quorum_of_good_updates_nobody_is_paid_and_the_round_is_tried_once_more(market: Market) -> None:
    training = Training.of(market, 3)
    for node in training.nodes[:2]:
        training.acts[node.id] = sending(name="0001")
    before = market.wallet()
    name = training.submit(rounds=1)
    ended = training.run(name)
    assert (ended.job.state, ended.job.reason) == (JobState.FAILED, EndReason.NO_QUORUM)
    assert [(r.round.attempt, r.round.state.value) for r in training.rounds(name)] == [(1, "failed"), (2, "failed")]
    assert training.states(name) == {
        "n0": ParticipantState.REJECTED,
        "n1": ParticipantState.REJECTED,
        "n2": ParticipantState.LATE,
    }
    assert market.wallet() == before
    assert ("n2", "update_rejected") not in evidence(market)


def test_an_update_that_claims_more_than_its_weights_can_need_is_refused_before_room_is_kept_for_it(
    market: Market,
) -> None:
    training = Training.of(market, 3)
    training.acts[training.nodes[1].id] = sending(size_bytes=1 << 30)
    name = training.submit(rounds=1)
    training.run_until(name, lambda view: view.job.state is JobState.AGGREGATING)
    refused = training.participants(name)["n1"].participant
    assert refused.state is ParticipantState.REJECTED
    assert str(refused.reason).startswith("invalid_result: ")


def test_an_update_whose_order_ended_before_it_was_judged_is_in_no_weights(market: Market) -> None:
    training = Training.of(market, 3)
    training.acts[training.nodes[1].id] = sending(lambda values: values * 0)
    name = training.submit(rounds=1)
    training.run_until(name, lambda view: view.job.state is JobState.AGGREGATING)
    gone = training.participants(name)["n1"].participant
    with market.app.uow() as uow:
        judging.judge(uow, utc_now(), [gone.order_id])
        uow.commit()
    training.run(name)
    found = training.participants(name)["n1"]
    assert (found.participant.state, found.participant.reason) == (ParticipantState.LATE, "order_ended")
    assert found.charged_nano == 0
    assert training.weights(name) == pytest.approx([one / 2 for one in AIM])


def test_an_update_that_came_after_the_deadline_is_late_though_nobody_looked_in_between(market: Market) -> None:
    training = Training.of(market, 3)
    name = training.submit(rounds=1)
    training.step(steps=2)
    training.fit()
    late = training.participants(name)["n1"]
    assert late.committed_at
    with market.app.engine.begin() as connection:
        connection.execute(
            text("UPDATE work_items SET committed_at = committed_at + interval '1 hour' WHERE id = :id"),
            {"id": late.item_id},
        )
    training.step()
    assert training.states(name)["n1"] is ParticipantState.LATE


def test_a_round_with_news_locks_all_its_orders_before_any_money(market: Market) -> None:
    training = Training.of(market, 3)
    training.acts[training.nodes[1].id] = without_data
    name = training.submit(rounds=1)
    training.step(steps=2)
    training.fit()
    orders = {standing.participant.order_id for standing in training.participants(name).values()}
    locked: list[set[object]] = []

    def note(_: object, __: object, statement: str, parameters: dict[str, object], *___: object) -> None:
        if "FROM orders o WHERE o.id = ANY" in statement and statement.endswith("FOR UPDATE"):
            [ids] = parameters.values()
            assert isinstance(ids, list)
            locked.append(set(ids))

    event.listen(market.app.engine, "before_cursor_execute", note)
    training.step()
    event.remove(market.app.engine, "before_cursor_execute", note)
    assert locked[0] == orders
