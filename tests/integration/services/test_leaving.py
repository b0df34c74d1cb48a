"""Whoever is no member any more has nothing placed for the organisation: batches and training jobs end with them."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest

from backend.bootstrap import utc_now
from backend.domain.access import Principal
from backend.domain.batches import BatchState
from backend.domain.errors import NotFound
from backend.domain.federated.states import JobState
from backend.domain.money import NANO_PER_CREDIT
from backend.services import deposits, organisations
from backend.services.log import list_entries
from tests.integration.services.batching import Batching, lines
from tests.integration.services.training import Training
from tests.market import Market

pytestmark = pytest.mark.usefixtures("books_in_order")
ROUNDS = 6


@pytest.fixture
def owner(market: Market) -> Principal:
    """The owner of an organisation with money, for which ana and ben buy."""
    lab, owner, market.buyer, _ = market.organisation("lab", "ana", "ben")
    deposits.deposit(market.app.uow(), utc_now(), lab, 100 * NANO_PER_CREDIT, "payment for lab")
    return owner


def leave(market: Market, owner: Principal, who: Principal) -> None:
    """End a membership as the organisation's owner."""
    organisations.remove_member(market.app.uow(), utc_now(), owner, who.account_id, who.actor)


@pytest.mark.usefixtures("small_chunks")
def test_the_batches_of_a_removed_member_are_cancelled_and_pay_only_what_ran(
    market: Market, owner: Principal, batching: Batching
) -> None:
    market.node("a", slots=4)
    ana, executor = market.buyer, market.executor()
    name, waits = batching.submit(lines(40)), batching.submit(lines(2))
    assert batching.show(waits).batch.state is BatchState.VALIDATING
    batching.run_until(name, executor, lambda view: view.batch.completed >= 4)
    leave(market, owner, ana)
    assert {batching.show(one).batch.state for one in (name, waits)} == {BatchState.CANCELLING}
    [entry] = list_entries(market.app.uow(), subject=f"account {ana.account_id}")[:1]
    assert entry.details == {"member": str(ana.actor), "batches": 2, "training_jobs": 0}
    ended = batching.run(name, executor)
    assert (ended.batch.state, batching.run(waits, executor).charged_nano) == (BatchState.CANCELLED, 0)
    assert ended.batch.completed <= 8  # and no order more than were open
    assert ended.batch.completed + ended.batch.failed == 40
    leave(market, owner, ana)  # twice is once
    assert batching.show(name).batch.state is BatchState.CANCELLED


def test_batches_of_other_members_and_of_the_organisation_go_on(
    market: Market, owner: Principal, batching: Batching
) -> None:
    ana = market.buyer
    market.node("a", slots=4)
    market.buyer = Principal(None, ana.account_id, ana.role)
    name = batching.submit(lines(2))
    leave(market, owner, ana)
    assert batching.run(name, market.executor()).batch.state is BatchState.COMPLETED


def test_the_training_jobs_of_a_removed_member_are_cancelled(market: Market, owner: Principal) -> None:
    training = Training.of(market, 3)
    name = training.submit(rounds=5)
    training.run_until(name, lambda view: view.job.round >= 1)
    leave(market, owner, market.buyer)
    assert training.run(name).job.state is JobState.CANCELLED
    market.settle()
    assert market.wallet().reserved_nano == 0


def test_who_was_removed_begins_nothing_with_a_key_that_is_still_remembered(
    market: Market, owner: Principal, batching: Batching
) -> None:
    training = Training.of(market, 3)
    leave(market, owner, market.buyer)
    for begin in (partial(batching.submit, lines(2)), partial(training.submit, rounds=1)):
        with pytest.raises(NotFound) as refused:
            begin()
        assert refused.value.code == "unknown_account"


def test_a_batch_that_is_made_while_its_member_is_removed_does_not_run(
    market: Market, owner: Principal, tmp_path: Path
) -> None:
    ana = market.buyer

    def submit(start: Barrier, folder: Path) -> str | None:
        folder.mkdir()
        batching = Batching(market, folder)
        batching.file(lines(1))
        start.wait()
        try:
            return batching.submit(lines(1))
        except NotFound:
            return None

    def remove(start: Barrier) -> None:
        start.wait()
        leave(market, owner, ana)

    with ThreadPoolExecutor(2) as pool:
        for number in range(ROUNDS):
            organisations.put_member(market.app.uow(), utc_now(), owner, ana.account_id, ana.actor, "member")
            start = Barrier(2)
            made, _ = pool.submit(submit, start, tmp_path / str(number)), pool.submit(remove, start).result()
            if name := made.result():
                assert Batching(market, tmp_path).show(name).batch.state is BatchState.CANCELLING
