"""Training jobs as they are asked for: what is refused, what a quote tells, lists, and one job per key."""

import pytest

from backend.bootstrap import utc_now
from backend.domain.errors import Conflict, Forbidden, Invalid, NotFound, SwarmexError, TooLarge, Unavailable
from backend.domain.federated.jobs import JOBS_OPEN_MAX, Privacy, Target
from backend.domain.idempotency import Idempotency
from backend.domain.money import US_PER_S
from backend.domain.orders import OrderState
from backend.services import orders, settlement, training_jobs, training_run
from tests.integration.services.registering import register, with_key
from tests.integration.services.training import Training
from tests.market import ASK, Market, Statements


@pytest.fixture
def training(market: Market) -> Training:
    """A market with three nodes that can take part."""
    return Training.of(market, 3)


WRONG: list[tuple[dict[str, object], type[SwarmexError], str, str]] = [
    ({"rounds": 0}, Invalid, "invalid_rounds", "rounds"),
    ({"participants": 501}, Invalid, "invalid_participants", "participants"),
    ({"participants_min": 4}, Invalid, "invalid_participants_min", "participants_min"),
    ({"trainer": "nobody"}, NotFound, "unknown_trainer", "trainer"),
    ({"strategy": "wishful"}, Invalid, "invalid_strategy", "strategy"),
    ({"strategy_options": {"eta": 1.0}}, Invalid, "invalid_strategy_options", "strategy_options.eta"),
    ({"strategy": "krum"}, Invalid, "too_few_participants", "participants_min"),
    (
        {"strategy": "median", "participants_min": 3, "privacy": Privacy("central", 1.0, 1.0)},
        Invalid,
        "invalid_privacy",
        "privacy.mode",
    ),
    ({"target": Target("acuracy")}, Invalid, "invalid_metric", "target.metric"),
    ({"tier": "huge"}, Invalid, "invalid_tier", "tier"),
    ({"region": "nowhere"}, Unavailable, "no_capacity", "region"),
    ({"trust_min_ppm": 999_999}, Unavailable, "needs_unmet", "needs.trust_min_ppm"),
    ({"max_budget_nano": 2 * 5 * ASK - 1}, Invalid, "budget_too_low", "max_budget"),
    ({"limit_nano_per_slot_s": 1}, Invalid, "limit_below_market", "limit"),
    ({"model": "nothing"}, NotFound, "unknown_model", "model"),
    ({"model": "doubling"}, Invalid, "not_trained_here", "model"),
    ({"name": "No Name"}, Invalid, "invalid_name", "name"),
    ({"webhook": "ftp://example.com"}, Invalid, "invalid_webhook", "webhook"),
]


@pytest.mark.parametrize(("changes", "kind", "code", "field"), WRONG, ids=[f"{w[2]} {w[3]}" for w in WRONG])
def test_what_cannot_be_a_job_is_refused_with_code_and_field_and_nothing_is_written(
    training: Training, changes: dict[str, object], kind: type[SwarmexError], code: str, field: str
) -> None:
    with pytest.raises(kind) as refused:
        training.submit(**changes)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.accepted
    with pytest.raises(kind):
        training_jobs.quote_job(training.market.app.uow(), utc_now(), training.spec(**changes))
    assert training_jobs.list_jobs(training.market.app.uow(), None).jobs == []


def test_somebody_elses_model_name_is_refused_at_once(training: Training, market: Market) -> None:
    register(market, market.app.folder, "theirs", by=with_key(market, "them"))
    with pytest.raises(Forbidden) as refused:
        training.submit(name="theirs")
    assert refused.value.code == "not_the_owner"


def test_a_model_that_somebody_else_trained_is_nothing_to_go_on_from(training: Training, market: Market) -> None:
    training.run(training.submit(rounds=1, name="mine"))
    market.buyer = market.account("another", 10**12)
    with pytest.raises(Invalid) as refused:
        training.submit(model="mine")
    assert refused.value.code == "not_trained_here"


def test_no_more_than_so_many_jobs_of_an_account_are_under_way(training: Training) -> None:
    for _ in range(JOBS_OPEN_MAX):
        training.submit()
    with pytest.raises(TooLarge) as refused:
        training.submit()
    assert refused.value.code == "too_many_jobs"


def test_a_quote_tells_what_all_rounds_cost_and_writes_nothing(training: Training, market: Market) -> None:
    quote = training_jobs.quote_job(market.app.uow(), utc_now(), training.spec(rounds=4))
    fits = 4 * 3
    spot, limit = quote.spot_nano_per_slot_s, quote.limit_nano_per_slot_s
    assert limit == 2 * spot
    assert quote.worst_case_nano == fits * 5 * limit
    assert quote.expected_nano == fits * -(-spot * 5 * US_PER_S // 2 // US_PER_S)
    assert (quote.rounds, quote.participants, quote.nodes_available) == (4, 3, 3)
    assert quote.markets == ("fog/north",)
    assert market.wallet().reserved_nano == 0
    capped = training_jobs.quote_job(market.app.uow(), utc_now(), training.spec(rounds=4, max_budget_nano=40 * ASK))
    assert capped.worst_case_nano == 40 * ASK
    few = training_jobs.quote_job(market.app.uow(), utc_now(), training.spec(participants=9, participants_min=5))
    assert "Only 3 nodes" in few.explanation


def test_the_same_key_makes_one_job(training: Training, market: Market) -> None:
    key = Idempotency("once", b"d" * 32)
    first, second = (
        training_jobs.create_job(market.app.uow(), utc_now(), market.buyer, training.spec(config={"rate": 0.5}), key)
        for _ in range(2)
    )
    assert first == second
    assert len(training_jobs.list_jobs(market.app.uow(), market.buyer.account_id).jobs) == 1


def test_jobs_are_listed_newest_first_page_by_page(training: Training, market: Market) -> None:
    names = [training.submit() for _ in range(3)]
    uow, account = market.app.uow(), market.buyer.account_id
    page = training_jobs.list_jobs(uow, account, limit=2)
    assert [training_jobs.job_name(view.job.id) for view in page.jobs] == names[:0:-1]
    assert page.more
    rest = training_jobs.list_jobs(uow, account, limit=2, after=names[1])
    assert ([training_jobs.job_name(view.job.id) for view in rest.jobs], rest.more) == (names[:1], False)
    with pytest.raises(Invalid):
        training_jobs.list_jobs(uow, account, limit=101)


def test_a_list_takes_as_many_statements_for_many_jobs_as_for_one(market: Market) -> None:
    training = Training.of(market, 8)
    counted = []
    for name in (training.submit(participants=2) for _ in range(4)):
        training.executor.beat()
        for _ in range(10):  # the others have just been looked at
            training_run.work(market.app.uow, utc_now(), training.objects, training.tools)
        assert training.show(name).wanted == 2
        with Statements(market.app.engine) as statements:
            page = training_jobs.list_jobs(market.app.uow(), market.buyer.account_id)
        assert all(view.held_nano > 0 and view.wanted == 2 for view in page.jobs)
        counted.append(statements.count)
    assert len(set(counted)) == 1, counted


def test_a_job_under_way_tells_what_is_held_and_how_its_round_stands(training: Training, market: Market) -> None:
    name = training.submit()
    training.step(steps=2)
    view = training.show(name)
    assert (view.counts, view.wanted, view.charged_nano) == ({"asked": 3}, 3, 0)
    assert view.held_nano == market.wallet().reserved_nano > 0


def test_a_participants_order_is_cancelled_with_its_job_only(training: Training, market: Market) -> None:
    name = training.submit()
    training.step(steps=2)
    training.fit()
    uow, now = market.app.uow(), utc_now()
    for order in orders.list_orders(uow, market.buyer.account_id):
        with pytest.raises(Conflict) as refused:
            orders.cancel_order(uow, now, order.id, market.buyer)
        assert refused.value.code == "part_of_a_job"
    assert settlement.settle_finished(uow, now) == 0  # nothing to do, nor to be looked at again and again
    training.cancel(name)
    training.step()
    assert {one.state for one in orders.list_orders(uow, market.buyer.account_id)} == {OrderState.SETTLED}


def test_a_checkpoint_that_is_not_there_is_not_found(training: Training) -> None:
    name = training.submit(rounds=1)
    for number in (None, 0, 1):
        with pytest.raises(NotFound) as missing:
            training.weights(name, number)
        assert (missing.value.code, missing.value.accepted) == ("unknown_checkpoint", "none yet")
    training.run(name)
    with pytest.raises(NotFound) as missing:
        training.weights(name, 2)
    assert missing.value.accepted == "0, 1"


def test_a_round_of_many_takes_as_many_statements_as_one_of_few(market: Market) -> None:
    training = Training.of(market, 12)
    counts: list[tuple[int, ...]] = []
    for participants in (3, 12):
        name = training.submit(rounds=1, participants=participants)
        training.step()
        counted = []
        for _ in range(2):
            with Statements(market.app.engine) as statements:
                training.step()
            counted.append(statements.count)
            training.fit()
        with Statements(market.app.engine) as statements:
            training.step()
        counts.append((*counted, statements.count))
        assert training.run(name).job.round == 1
    assert counts[0] == counts[1]
