"""Batches on a real market: what is run, what is charged, and how they end."""

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.batches import BatchState
from backend.domain.errors import Conflict, Invalid, NotFound
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.work import ItemResult
from backend.services import batches, sweeper
from backend.services.batches import BatchView, BatchWish
from tests.integration.services.batching import Batching, line, lines
from tests.market import Market

pytestmark = pytest.mark.usefixtures("books_in_order")


def counts(view: BatchView) -> tuple[int, int, int]:
    """Total, completed, failed."""
    return view.batch.total, view.batch.completed, view.batch.failed


def test_a_batch_runs_to_its_end_and_costs_what_its_orders_did(batching: Batching, market: Market) -> None:
    market.node("a", slots=4)
    before = market.wallet()
    ended = batching.run(batching.submit(lines(7)), market.executor())
    assert (ended.batch.state, counts(ended)) == (BatchState.COMPLETED, (7, 7, 0))
    assert ended.batch.error_file_id is None
    told = batching.content(ended.batch.output_file_id)
    assert [row["custom_id"] for row in told] == [f"r-{n}" for n in range(7)]
    assert told[0]["response"]["status_code"] == 200
    assert told[0]["response"]["body"] == {"model_name": "doubling", "model_version": "1", "outputs": []}
    after = market.wallet()
    assert ended.charged_nano == before.wallet_nano - after.wallet_nano > 0
    assert after.reserved_nano == 0


def test_what_a_node_answers_stays_in_the_line_of_its_request(batching: Batching, market: Market) -> None:
    market.node("a", slots=4)
    executor = market.executor()
    name = batching.submit(lines(3))
    batching.work(rounds=3)
    market.clear()
    answers = [
        b'{"outputs":[]}},"error":null}\n{"custom_id":"r-2","response":{"status_code":200,"body":{}',
        b'{\n"outputs": [],\n"model_name": "another"}',
        b'{"outputs":' + b"[" * 400 + b"]" * 400 + b"}",
    ]
    items = executor.claim(market.dispatched())
    results = [ItemResult(i.item_id, i.fence, 5, answer) for i, answer in zip(items, answers, strict=True)]
    executor.database.commit(executor.id, results)
    ended = batching.run(name, executor)
    assert counts(ended) == (3, 1, 2)
    [told] = batching.content(ended.batch.output_file_id)
    assert told["response"]["body"] == {"model_name": "doubling", "model_version": "1", "outputs": []}
    failed = {row["custom_id"]: row["error"]["code"] for row in batching.content(ended.batch.error_file_id)}
    assert failed == dict.fromkeys({"r-0", "r-1", "r-2"} - {told["custom_id"]}, "invalid_answer")


@pytest.mark.usefixtures("small_chunks")
def test_no_more_orders_are_open_than_may_be_and_all_are_placed_in_the_end(batching: Batching, market: Market) -> None:
    market.node("a", slots=4)
    name = batching.submit(lines(9))
    batching.work(rounds=6)
    with market.app.uow() as uow:
        assert uow.batch_chunks.spending(batching.show(name).batch.id).open_orders == 2
    ended = batching.run(name, market.executor())
    assert (ended.batch.state, counts(ended)) == (BatchState.COMPLETED, (9, 9, 0))


def test_a_wrong_file_fails_with_the_numbers_of_its_lines_and_costs_nothing(batching: Batching, market: Market) -> None:
    content = [
        line("a"),
        "not json",
        "",
        line("a"),
        line("b", url="/v1/chat/completions"),
        line("c", url="/v2/models/nobody/infer"),
        line("d", {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}),
        line("e", method="GET"),
    ]
    before = market.wallet()
    name = batching.submit(content)
    batching.work()
    failed = batching.show(name)
    assert failed.batch.state is BatchState.FAILED
    assert [(e["line"], e["code"], e["param"]) for e in failed.batch.errors or []] == [
        (2, "invalid_json", None),
        (4, "duplicate_custom_id", "custom_id"),
        (5, "invalid_url", "url"),
        (6, "unknown_model", "model"),
        (7, "invalid_tensor", "body.inputs[0].shape"),
        (8, "invalid_method", "method"),
    ]
    assert market.wallet() == before


@pytest.mark.parametrize(("content", "code"), [([], "empty_file"), (["", " "], "empty_file")])
def test_a_file_without_requests_fails(batching: Batching, content: list[str], code: str) -> None:
    name = batching.submit(content)
    batching.work()
    assert [e["code"] for e in batching.show(name).batch.errors or []] == [code]


def test_too_many_requests_and_lines_that_are_too_long_are_refused(
    batching: Batching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.services.batch_lines.BATCH_REQUESTS_MAX", 3)
    many, long = batching.submit(lines(4)), batching.submit(["x" * (2 << 20), line("a")])
    batching.work(rounds=4)
    assert [(e["line"], e["code"]) for e in batching.show(many).batch.errors or []] == [(4, "too_many_requests")]
    assert [(e["line"], e["code"]) for e in batching.show(long).batch.errors or []] == [(1, "line_too_long")]


@pytest.mark.usefixtures("small_chunks")
def test_lines_of_several_models_are_grouped_into_orders_of_one_each(batching: Batching, market: Market) -> None:
    market.register("tripling")
    market.node("a", slots=4)
    content = [line(f"r-{n}", url=f"/v2/models/{('doubling', 'tripling')[n % 2]}/infer") for n in range(8)]
    ended = batching.run(batching.submit(content), market.executor())
    assert counts(ended) == (8, 8, 0)
    told = {
        row["custom_id"]: row["response"]["body"]["model_name"] for row in batching.content(ended.batch.output_file_id)
    }
    assert told == {f"r-{n}": ("doubling", "tripling")[n % 2] for n in range(8)}


@pytest.mark.usefixtures("small_chunks")
def test_a_request_that_cannot_be_run_goes_to_the_error_file_and_the_others_are_charged(
    batching: Batching, market: Market
) -> None:
    market.node("a", slots=4)
    executor = market.executor()
    name = batching.submit(lines(4))
    batching.work(rounds=4)
    market.clear()
    [poisoned, *others] = executor.claim(market.dispatched())
    executor.commit(others)
    with market.app.engine.begin() as connection:
        connection.execute(
            text("UPDATE work_items SET state = 'dead', error = 'it fails' WHERE id = :id"), {"id": poisoned.item_id}
        )
    sweeper.sweep(market.app.uow(), utc_now())
    ended = batching.run(name, executor)
    assert (ended.batch.state, counts(ended)) == (BatchState.COMPLETED, (4, 3, 1))
    [error] = batching.content(ended.batch.error_file_id)
    assert (error["response"], error["error"]) == (None, {"code": "attempts_exhausted", "message": "it fails"})
    assert ended.charged_nano > 0


@pytest.mark.usefixtures("small_chunks")
def test_cancelling_lets_what_is_in_flight_end_and_charges_only_what_ran(batching: Batching, market: Market) -> None:
    market.node("a", slots=1)
    executor = market.executor()
    name = batching.submit(lines(8))
    batching.work(rounds=4)
    market.clear()
    in_flight = executor.claim(market.dispatched())
    assert len(in_flight) == 2
    assert batching.cancel(name).batch.state is BatchState.CANCELLING
    batching.work(rounds=3)
    assert batching.show(name).batch.state is BatchState.CANCELLING
    executor.commit(in_flight)
    ended = batching.run(name, executor)
    assert (ended.batch.state, counts(ended)) == (BatchState.CANCELLED, (8, 2, 6))
    assert {row["error"]["code"] for row in batching.content(ended.batch.error_file_id)} == {"batch_cancelled"}
    wallet = market.wallet()
    assert ended.charged_nano == 1_000 * NANO_PER_CREDIT - wallet.wallet_nano > 0
    assert wallet.reserved_nano == 0
    assert batching.cancel(name).batch.state is BatchState.CANCELLED


def test_a_batch_cancelled_before_it_was_checked_ends_without_a_file(batching: Batching, market: Market) -> None:
    name = batching.submit(lines(3))
    batching.cancel(name)
    batching.work(rounds=3)
    ended = batching.show(name)
    assert (ended.batch.state, counts(ended), ended.batch.output_file_id) == (BatchState.CANCELLED, (0, 0, 0), None)


@pytest.mark.usefixtures("small_chunks")
def test_without_capacity_a_batch_waits_and_runs_when_there_is_some(batching: Batching, market: Market) -> None:
    name = batching.submit(lines(3))
    batching.work(rounds=4)
    assert batching.show(name).batch.state is BatchState.IN_PROGRESS
    assert market.wallet().reserved_nano == 0
    market.node("a", slots=4)
    assert counts(batching.run(name, market.executor())) == (3, 3, 0)


@pytest.mark.usefixtures("small_chunks")
def test_lines_that_the_budget_does_not_cover_fail_and_no_more_is_spent(batching: Batching, market: Market) -> None:
    market.node("a", slots=4)
    with market.app.engine.begin() as connection:
        connection.execute(text("UPDATE models SET us_per_call = 10, us_per_row = 10"))
    budget = 170  # an order of two holds 160 at most and is charged 10
    capped = f"{budget / NANO_PER_CREDIT:.9f}"
    ended = batching.run(batching.submit(lines(40), swarmex_max_budget=capped), market.executor())
    assert ended.batch.state is BatchState.COMPLETED
    assert 0 < ended.charged_nano <= budget
    assert ended.batch.failed > 0
    assert {row["error"]["code"] for row in batching.content(ended.batch.error_file_id)} == {"budget_too_low"}


@pytest.mark.usefixtures("small_chunks")
def test_a_wallet_that_is_too_small_fails_the_lines_that_it_cannot_pay(batching: Batching, market: Market) -> None:
    market.node("a", slots=4)
    market.buyer = market.account("poor", 1)
    ended = batching.run(batching.submit(lines(3)), market.executor())
    assert (ended.batch.state, counts(ended)) == (BatchState.COMPLETED, (3, 0, 3))
    assert {row["error"]["code"] for row in batching.content(ended.batch.error_file_id)} == {"insufficient_funds"}
    assert market.wallet().wallet_nano == 1


def test_somebody_elses_file_and_batch_are_not_there(batching: Batching, market: Market) -> None:
    name, file = batching.submit(lines(1)), batching.file(lines(1))
    market.buyer = market.account("other", 1)
    with pytest.raises(NotFound):
        batching.show(name)
    with pytest.raises(NotFound):
        batching.cancel(name)
    with pytest.raises(NotFound):
        batches.create_batch(market.app.uow(), utc_now(), market.buyer, BatchWish(file, "/v2/models"))
    assert batches.list_batches(market.app.uow(), market.buyer.account_id).batches == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"completion_window": "2 days"}, "completion_window"),
        ({"completion_window": "25h"}, "completion_window"),
        ({"metadata": {"swarmex_tier": "giant"}}, "tier"),
        ({"metadata": {"swarmex_colour": "red"}}, "metadata.swarmex_colour"),
        ({"metadata": {"swarmex_max_budget": "-1"}}, "metadata.swarmex_max_budget"),
        ({"metadata": {"swarmex_webhook": "ftp://x"}}, "metadata.swarmex_webhook"),
        ({"metadata": {"a": 1}}, "metadata"),
    ],
)
def test_what_cannot_be_a_batch_is_refused_with_its_field(
    batching: Batching, market: Market, change: dict[str, object], field: str
) -> None:
    wish = BatchWish(**({"input_file_id": batching.file(lines(1)), "endpoint": "/v2/models"} | change))  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(Invalid) as refused:
        batches.create_batch(market.app.uow(), utc_now(), market.buyer, wish)
    assert refused.value.field == field


def test_a_batch_that_has_ended_cannot_be_cancelled(batching: Batching, market: Market) -> None:
    market.node("a", slots=4)
    name = batching.submit(lines(1))
    batching.run(name, market.executor())
    with pytest.raises(Conflict):
        batching.cancel(name)


@pytest.mark.usefixtures("small_chunks")
def test_parts_that_are_missing_at_the_end_are_written_anew_from_what_ran(batching: Batching, market: Market) -> None:
    market.node("a", slots=4)
    name = batching.submit(lines(4))
    collected = batching.run_until(name, market.executor(), lambda view: view.batch.state is BatchState.FINALIZING)
    market.app.objects.delete_folder(f"batches/{collected.batch.id}/")
    batching.work()
    ended = batching.show(name)
    assert ended.batch.state is BatchState.COMPLETED
    assert [row["custom_id"] for row in batching.content(ended.batch.output_file_id)] == [f"r-{n}" for n in range(4)]
