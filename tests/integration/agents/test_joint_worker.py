"""Parts of joint tasks, worked on beside an agent's own duties; a full audit is such a task."""

from collections.abc import Callable, Iterator
from threading import Event
from uuid import UUID

import pytest
from sqlalchemy import text

from agents.base import Identity
from agents.joint_worker import JointWorker, Work
from backend.bootstrap import new_id, utc_now
from backend.domain.errors import Invalid
from backend.domain.ids import AgentId
from backend.domain.joint_tasks import ATTEMPTS_MAX, CLAIM_S, JointFailed, TaskWish
from backend.services import joint_audit, joint_tasks
from backend.services.joint_tasks import TaskView
from tests.integration.agents.processes import Start
from tests.integration.services.clock import in_seconds
from tests.market import Market
from tests.waiting import PATIENCE_S, until

Hire = Callable[[Work], JointWorker]


@pytest.fixture
def hire(market: Market) -> Iterator[Hire]:
    """Starts workers at kind `echo`; they are stopped at the end."""
    hired: list[JointWorker] = []

    def hire(work: Work) -> JointWorker:
        who = Identity.of_this_process(AgentId(new_id()), f"worker-{len(hired)}")
        hired.append(JointWorker(market.app, who, {"echo": work}))
        hired[-1].start()
        return hired[-1]

    yield hire
    for worker in hired:
        worker.stop()


def opened(market: Market, *payloads: object) -> UUID:
    return joint_tasks.open_task(market.app.uow(), utc_now(), "test", TaskWish("echo", payloads)).id


def view(market: Market, task: UUID) -> TaskView:
    return joint_tasks.show_task(market.app.uow(), task)


def test_workers_do_all_parts_and_their_results_are_joined(market: Market, hire: Hire) -> None:
    both = Event(), Event()

    def first(payload: object) -> object:
        both[0].set()
        assert both[1].wait(PATIENCE_S), "the other has a part as well"
        return payload

    def second(payload: object) -> object:
        both[1].set()
        assert both[0].wait(PATIENCE_S)
        return payload

    hire(first), hire(second)
    task = opened(market, *range(10))
    assert joint_tasks.join(market.app.uow, task, PATIENCE_S) == list(range(10))
    claimers = {(part.claimer or "").partition("/")[0] for part in view(market, task).parts}
    assert claimers == {"worker-0", "worker-1"}


def test_what_takes_long_is_kept_by_signs_of_life(market: Market, hire: Hire) -> None:
    begun, over = Event(), Event()

    def slow(payload: object) -> object:
        begun.set()
        assert over.wait(PATIENCE_S)
        return payload

    hire(slow)
    task = opened(market, "x")
    assert begun.wait(PATIENCE_S)
    with market.app.uow() as uow:
        uow.connection.execute(text("UPDATE joint_parts SET claimed_until = now() + interval '0.01 s'"))
        uow.commit()

    def kept() -> bool:
        with market.app.engine.connect() as connection:
            return bool(connection.execute(text("SELECT claimed_until > now() + '2 s' FROM joint_parts")).scalar_one())

    until(kept, "the worker beats")
    over.set()
    assert joint_tasks.join(market.app.uow, task, PATIENCE_S) == ["x"]
    assert [part.attempt for part in view(market, task).parts] == [1]


def test_a_part_that_was_taken_from_a_worker_is_done_again_and_counts_once(market: Market, hire: Hire) -> None:
    begun, over, runs = Event(), Event(), [0]

    def slow(payload: object) -> object:
        runs[0] += 1
        begun.set()
        assert over.wait(PATIENCE_S)
        return runs[0]

    hire(slow)
    task = opened(market, "x")
    assert begun.wait(PATIENCE_S)
    assert joint_tasks.sweep_joint(market.app.uow(), in_seconds(CLAIM_S + 1)).lapsed == 1
    over.set()
    assert joint_tasks.join(market.app.uow, task, PATIENCE_S) is not None
    [part] = view(market, task).parts
    assert (part.attempt, part.result) == (2, 2)


@pytest.mark.parametrize(("error", "attempts"), [(OSError("no disk"), ATTEMPTS_MAX), (Invalid("nonsense"), 1)])
def test_errors_are_told_and_tried_again_unless_that_is_for_nothing(
    market: Market, hire: Hire, error: Exception, attempts: int
) -> None:
    def fail(_: object) -> object:
        raise error

    hire(fail)
    task = opened(market, "x")
    with pytest.raises(JointFailed) as failed:
        joint_tasks.join(market.app.uow, task, PATIENCE_S)
    assert failed.value.failures == ((0, repr(error)),)
    assert [part.attempt for part in view(market, task).parts] == [attempts]


def test_two_settlement_agents_audit_the_books_together_and_find_what_is_wrong(market: Market, start: Start) -> None:
    agents = [start("settlement"), start("settlement")]
    for agent in agents:
        until(agent.says("agent.registered"), "it is up")

    def audited() -> joint_audit.JointAudit:
        task = joint_audit.open_audit(market.app.uow(), utc_now(), "test").id
        results = joint_tasks.join(market.app.uow, task, PATIENCE_S)
        assert results is not None
        return joint_audit.report(results)

    assert audited() == joint_audit.JointAudit(len(joint_audit.PARTS), 0, ())
    with market.app.uow() as uow:
        uow.connection.execute(text("UPDATE ledger_accounts SET posted_nano = posted_nano + 1 WHERE kind = 'fees'"))
        uow.commit()
    wrong = audited()
    assert not wrong.ok
    assert {one["what"] for one in wrong.differences} == {"fees balance", "sum of all balances"}
    assert [agent.stop() for agent in agents] == [0, 0]


def test_a_figure_that_this_version_has_not_is_refused(market: Market) -> None:
    payloads: list[object] = [{"figure": "luck"}, {}, None, {"figure": []}]
    for payload in payloads:
        with pytest.raises(Invalid) as refused:
            joint_audit.audit_part(market.app.uow(), payload)
        assert refused.value.code == "invalid_figure"
