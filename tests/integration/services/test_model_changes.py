"""Aliases, stages, tags and deletion: validated, logged, and seen by whoever asks for a model."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backend.bootstrap import utc_now
from backend.domain.access import Role
from backend.domain.errors import Conflict, Forbidden, Invalid, SwarmexError
from backend.domain.orders import OrderState
from backend.domain.registry import ALIASES_MAX, ModelFilter
from backend.services import log, model_changes, models, orders
from tests.integration.services.batching import Batching, lines
from tests.integration.services.registering import register, with_key
from tests.market import Market, Statements


def code_of(call: Callable[[], object]) -> str:
    """Code of the refusal."""
    with pytest.raises(SwarmexError) as refused:
        call()
    return refused.value.code


def test_an_alias_names_a_version_wherever_a_model_is_named(market: Market, tmp_path: Path) -> None:
    register(market, tmp_path, "doubling", 3.0)
    uow, now = market.app.uow, utc_now()
    model_changes.set_alias(uow(), now, None, "doubling", "champion", 1)
    assert models.get_model(uow(), "doubling").ref.version == 2
    assert models.get_model(uow(), "doubling@champion").ref.version == 1
    market.node("a")
    [order] = market.place(model="doubling@champion")
    assert order.model_id == market.model.ref.model_id
    moved = model_changes.set_alias(uow(), now, None, "doubling", "champion", 2)
    assert moved.aliases == ("champion",)
    assert market.place(model="doubling@champion")[0].model_id == moved.ref.model_id
    assert code_of(lambda: models.get_model(uow(), "doubling@champion", 1)) == "alias_and_version"
    model_changes.drop_alias(uow(), now, None, "doubling", "champion")
    assert code_of(lambda: models.get_model(uow(), "doubling@champion")) == "unknown_model_alias"
    assert code_of(lambda: model_changes.drop_alias(uow(), now, None, "doubling", "champion")) == "unknown_model_alias"
    told = [entry.action for entry in log.list_entries(uow(), action="model.")]
    assert told == ["model.unalias", "model.alias", "model.alias", "model.register", "model.register"]


def test_an_alias_is_set_only_on_what_is_there_and_not_without_end(market: Market) -> None:
    uow, now = market.app.uow, utc_now()
    for name, alias, version, code in (
        ("nobody", "a", 1, "unknown_model"),
        ("doubling", "a", 2, "unknown_model_version"),
        ("doubling", "latest", 1, "invalid_alias"),
    ):
        assert code_of(partial(model_changes.set_alias, uow(), now, None, name, alias, version)) == code
    for number in range(ALIASES_MAX):
        model_changes.set_alias(uow(), now, None, "doubling", f"a{number}", 1)
    assert code_of(lambda: model_changes.set_alias(uow(), now, None, "doubling", "b", 1)) == "too_many_aliases"


def test_one_version_at_most_is_in_production(market: Market, tmp_path: Path) -> None:
    register(market, tmp_path, "doubling", 3.0)
    uow, now = market.app.uow, utc_now()

    def move(version: int, stage: str, *, archive: bool = False) -> object:
        return model_changes.move_stage(uow(), now, None, "doubling", version, stage, archive_current=archive)

    assert code_of(lambda: move(1, "production")) == "stage_move_refused"
    for version in (1, 2):
        move(version, "staging")
    move(1, "production")
    assert code_of(lambda: move(2, "production")) == "production_taken"
    move(2, "production", archive=True)
    assert [m.stage for m in models.list_models(uow())] == ["archived", "production"]
    move(2, "production")
    assert code_of(lambda: model_changes.delete_model(uow(), now, None, "doubling", 2)) == "model_in_use"
    assert len(log.list_entries(uow(), action="model.stage")) == 4


def test_a_name_is_its_owners_and_the_admins(market: Market, tmp_path: Path) -> None:
    owner, other, admin = (
        with_key(market, "owner"),
        with_key(market, "other"),
        with_key(market, "boss", Role.ADMIN),
    )
    mine = register(market, tmp_path, "mine", by=owner)
    uow, now = market.app.uow, utc_now()
    with pytest.raises(Forbidden, match="somebody else's"):
        register(market, tmp_path, "mine", 3.0, other)
    changes: list[Callable[..., object]] = [
        lambda who: model_changes.set_alias(uow(), now, who, "mine", "best", 1),
        lambda who: model_changes.describe(uow(), now, who, "mine", 1, "good", {"team": "a"}),
        lambda who: model_changes.move_stage(uow(), now, who, "mine", 1, "staging"),
        lambda who: model_changes.drop_alias(uow(), now, who, "mine", "best"),
        lambda who: model_changes.delete_model(uow(), now, who, "mine", 1),
        lambda who: model_changes.restore_model(uow(), now, who, "mine", 1),
    ]
    for change in changes:
        assert code_of(partial(change, other)) == "not_the_owner"
        change(owner)
    register(market, tmp_path, "mine", 4.0, admin)
    assert {model.owner_id for model in models.list_models(uow()) if model.ref.name == "mine"} == {owner.account_id}
    shown = models.get_model(uow(), "mine", 1)
    assert (shown.description, shown.tags, shown.stage) == ("good", {"team": "a"}, "staging")
    assert shown.revision > mine.revision


def test_models_are_found_by_prefix_tag_stage_datatype_format_and_words(market: Market, tmp_path: Path) -> None:
    uow, now = market.app.uow, utc_now()
    for name in ("digits", "digits-small", "letters"):
        register(market, tmp_path, name)
    model_changes.describe(uow(), now, None, "digits", 1, "Reads NUMBERS, 100% of them", {"team": "vision", "old": ""})
    model_changes.move_stage(uow(), now, None, "letters", 1, "staging")

    def found(**wanted: Any) -> list[str]:
        return [model.ref.name for model in models.search_models(uow(), ModelFilter(**wanted))]

    assert found() == ["letters", "digits-small", "digits", "doubling"]
    assert found(prefix="digits") == ["digits-small", "digits"]
    assert found(tag="team=vision") == found(tag="old") == found(tag="old=") == ["digits"]
    assert found(tag="team=audio") == found(tag="vision") == []
    assert found(stage="staging") == ["letters"]
    assert found(datatype="FP32", format="onnx", prefix="dou") == ["doubling"]
    assert found(datatype="INT64") == []
    assert found(text="numbers") == found(text="100%") == found(text="VISION") == ["digits"]
    assert found(text="%") == ["digits"], "what is searched for is no pattern"
    with pytest.raises(Invalid):
        models.search_models(uow(), limit=0)
    first = models.search_models(uow(), limit=3)
    rest = models.search_models(uow(), limit=3, before=first[-1].ref.model_id)
    assert [model.ref.name for model in (*first, *rest)] == found()


def test_a_version_is_not_deleted_while_it_is_used_and_old_orders_run_to_their_end(
    market: Market, tmp_path: Path
) -> None:
    uow, now = market.app.uow, utc_now()
    register(market, tmp_path, "doubling", 3.0)
    market.node("a")
    executor = market.executor()
    [order] = market.place(model_version=1)

    def delete() -> object:
        return model_changes.delete_model(uow(), now, None, "doubling", 1)

    with pytest.raises(Conflict, match="an order of it is open") as refused:
        delete()
    assert refused.value.accepted == "wait for them, or cancel them; sessions end soon after their last use"
    market.clear()
    assert code_of(delete) == "model_in_use", "it is leased"
    with uow() as behind:  # as if it had been placed while the deletion was under way
        behind.models.write(order.model_id, deleted_at=now)
        behind.commit()
    assert {model.version for model in market.node_database.models()} == {1, 2}
    executor.commit(executor.claim(market.dispatched()))
    market.settle()
    assert market.show(order).state is OrderState.SETTLED
    assert {model.version for model in market.node_database.models()} == {2}
    with uow() as reading:
        assert [model.ref.version for model in reading.models.runnable()] == [2]


def test_a_version_stays_while_a_batch_has_requests_of_it_to_run(market: Market, batching: Batching) -> None:
    uow, now = market.app.uow, utc_now()
    name = batching.submit(lines(2))
    batching.work(rounds=3)  # there is no machine: nothing of it is placed
    with pytest.raises(SwarmexError, match="a batch has requests of it to run") as refused:
        model_changes.delete_model(uow(), now, None, "doubling", 1)
    assert refused.value.code == "model_in_use"
    batching.cancel(name)
    batching.run(name, market.executor())
    assert model_changes.delete_model(uow(), now, None, "doubling", 1).deleted_at == now


def test_what_is_deleted_is_asked_for_in_vain_until_it_is_restored(market: Market, tmp_path: Path) -> None:
    uow, now = market.app.uow, utc_now()
    model_changes.set_alias(uow(), now, None, "doubling", "best", 1)
    assert code_of(lambda: model_changes.delete_model(uow(), now, None, "doubling", 1)) == "model_in_use"
    model_changes.drop_alias(uow(), now, None, "doubling", "best")
    model_changes.delete_model(uow(), now, None, "doubling", 1)
    assert models.list_models(uow()) == models.search_models(uow()) == []
    assert len(models.search_models(uow(), ModelFilter(deleted=True))) == 1
    assert code_of(lambda: models.get_model(uow(), "doubling")) == "unknown_model"
    assert code_of(lambda: model_changes.delete_model(uow(), now, None, "doubling", 1)) == "unknown_model_version"
    placed = orders.place_orders(uow(), now, market.buyer, [market.request()])
    assert isinstance(placed.results[0], orders.Refusal)
    assert placed.results[0].code == "unknown_model"
    assert code_of(lambda: register(market, tmp_path, "doubling")) == "model_deleted"
    assert register(market, tmp_path, "doubling", 5.0).ref.version == 2, "a number is never used again"
    model_changes.restore_model(uow(), now, None, "doubling", 1)
    model_changes.restore_model(uow(), now, None, "doubling", 1)
    assert models.get_model(uow(), "doubling", 1).deleted_at is None
    assert code_of(lambda: model_changes.restore_model(uow(), now, None, "doubling", 9)) == "unknown_model_version"
    assert [entry.action for entry in log.list_entries(uow(), action="model.", limit=3)] == [
        "model.restore",
        "model.register",
        "model.delete",
    ]


def test_a_model_is_read_in_one_statement(market: Market) -> None:
    with Statements(market.app.engine) as statements:
        models.get_model(market.app.uow(), "doubling")
    assert statements.count == 1
