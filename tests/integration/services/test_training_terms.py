"""What a round's parts may cost: less once it is known how long a node takes, and by the price where the node is."""

from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.federated.states import EndReason, JobState
from backend.domain.periods import month
from backend.services import invoicing, pricing
from tests.integration.services.training import Training, taking
from tests.market import ASK, Market


def us_of(training: Training, name: str, number: int) -> list[int]:
    """What each part of a round may be billed at most, in microseconds."""
    orders = [standing.participant.order_id for standing in training.participants(name, number).values()]
    with training.market.app.engine.connect() as connection:
        found = connection.execute(
            text("SELECT us_max FROM work_items WHERE order_id = ANY(:orders) ORDER BY us_max"), {"orders": orders}
        )
        return list(found.scalars())


def test_once_a_fit_was_accepted_the_nodes_next_one_holds_less_and_is_killed_sooner(market: Market) -> None:
    training = Training.of(market, 2)
    training.acts = {training.nodes[0].id: taking(100_000_000)}
    name = training.submit(rounds=2, participants=2, fit_s=1_000, round_s=2_000)
    assert training.run(name).job.state is JobState.DONE
    assert us_of(training, name, 1) == [1_000_000_000] * 2
    assert us_of(training, name, 2) == [100_000_000, 800_000_000]
    slow, quick = (
        {task.seconds_max for node, task in training.fitted if task.round == 2 and node == one.id}
        for one in training.nodes
    )
    assert (slow, quick) == ({830}, {130})


def test_a_budget_counts_each_node_at_the_price_of_its_own_market(market: Market) -> None:
    training = Training.of(market, 1)
    market.node("far", ask=5 * ASK, region="south")
    market.executor()
    pricing.reprice(market.app.uow(), utc_now())
    name = training.submit(rounds=1, participants=2, max_budget_nano=2 * 5 * ASK + 10)
    assert training.run(name).job.reason is EndReason.BUDGET_SPENT
    assert training.rounds(name) == [], "nobody is asked for what he would not sell"


def test_what_a_job_was_charged_is_on_its_owners_invoice(market: Market) -> None:
    training = Training.of(market, 2)
    charged_nano = training.run(training.submit(rounds=2, participants=2)).charged_nano
    now = utc_now()
    bill = invoicing.preview(market.app.uow(), now, market.buyer, market.buyer.account_id, month(f"{now:%Y-%m}", "UTC"))
    assert bill.document.total_nano == sum(line.amount_nano for line in bill.lines) == charged_nano > 0
    assert {line.tier for line in bill.lines} == {"medium"}
