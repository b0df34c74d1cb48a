"""Trainers are announced, listed, and never taken for models."""

from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text

from backend.bootstrap import utc_now
from backend.domain.errors import Invalid, NotFound
from backend.domain.registry import Format, ModelFilter, Stage
from backend.services import model_changes, models, sessions, trainers
from backend.services.trainers import TrainerFacts
from tests.integration.services.earning import ADMIN
from tests.integration.services.judged import DIGITS, Lab, announce
from tests.market import Market

TEXTS = TrainerFacts("texts", "Continues texts.", ("perplexity",))


def known(market: Market) -> list[TrainerFacts]:
    return trainers.list_trainers(market.app.uow())


def test_trainers_are_known_once_they_are_announced_however_often(market: Market) -> None:
    assert known(market) == []
    assert announce(market, TEXTS, DIGITS) == 2
    assert announce(market, DIGITS, TEXTS) == 0
    assert known(market) == [DIGITS, TEXTS]


def test_a_trainer_of_which_something_else_is_said_keeps_its_row(market: Market) -> None:
    announce(market, DIGITS)
    with market.app.uow() as uow:
        before = trainers.trainer_model(uow, "digits")
    changed = replace(DIGITS, description="Better.", metrics=("accuracy",))
    assert announce(market, changed) == 1
    assert known(market) == [changed]
    with market.app.uow() as uow:
        after = trainers.trainer_model(uow, "digits")
    assert (after.ref.model_id, after.ref.version, after.format) == (before.ref.model_id, 1, Format.TRAINER)
    assert after.ref.checksum != before.ref.checksum


def test_a_trainer_that_nobody_announced_is_not_found_and_the_others_are_named(market: Market) -> None:
    with market.app.uow() as uow, pytest.raises(NotFound) as nobody:
        trainers.trainer_model(uow, "digits")
    assert nobody.value.field == "trainer"
    assert str(nobody.value.accepted).startswith("none")
    announce(market, DIGITS, TEXTS)
    with market.app.uow() as uow, pytest.raises(NotFound) as other:
        trainers.trainer_model(uow, "digit")
    assert other.value.accepted == "digits, texts"


def test_a_trainer_is_among_no_models(market: Market) -> None:
    announce(market)
    uow = market.app.uow()
    assert [model.ref.name for model in models.list_models(uow)] == ["doubling"]
    assert [model.ref.name for model in models.search_models(uow, ModelFilter(text="digits"))] == []
    with uow:
        assert [model.ref.name for model in uow.models.runnable()] == ["doubling"]
        assert list(uow.backups.model_files()) == [market.model.ref.uri]
    assert [model.name for model in market.node_database.models()] == ["doubling"]


def test_no_node_is_taken_to_have_a_trainers_file(market: Market) -> None:
    lab = Lab.of(market, 1)
    lab.place()
    lab.claim()
    with market.app.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM node_models")).scalar_one() == 0
    market.node("other")
    market.place()
    market.clear()
    with market.app.engine.connect() as connection:
        found = connection.execute(text("SELECT m.name FROM node_models n JOIN models m ON m.id = n.model_id"))
        assert found.scalars().all() == ["doubling"]


def test_a_trainer_is_not_served(market: Market) -> None:
    announce(market)
    market.node("a")
    market.executor()
    uow = market.app.uow()
    for ask in (
        lambda: models.get_model(uow, "trainer.digits"),
        lambda: market.place(model="trainer.digits"),
        lambda: sessions.open_session(uow, utc_now(), market.buyer, "trainer.digits", "medium"),
    ):
        with pytest.raises((Invalid, AssertionError)) as refused:
            ask()
        assert "not_servable" in f"{getattr(refused.value, 'code', refused.value)!r}"


def test_nobody_changes_a_trainer_or_registers_a_model_under_such_a_name(market: Market) -> None:
    announce(market)
    uow = market.app.uow()
    with pytest.raises(NotFound):
        model_changes.move_stage(uow, utc_now(), ADMIN, "trainer.digits", 1, Stage.PRODUCTION)
    with pytest.raises(NotFound):
        model_changes.delete_model(uow, utc_now(), ADMIN, "trainer.digits", 1)
    with pytest.raises(Invalid) as refused:
        market.register("trainer.digits")
    assert (refused.value.code, refused.value.field) == ("reserved_name", "name")


def test_the_way_down_and_up_again_leaves_trainers_as_they_were(market: Market, database_url: str) -> None:
    from backend.bootstrap import downgrade, migrate

    announce(market)
    downgrade(database_url, "0005")
    engine = create_engine(database_url)
    with engine.connect() as connection:
        offered = connection.execute(text("SELECT model_name FROM node_models()")).scalars().all()
        assert offered == ["doubling"]
    engine.dispose()
    migrate(database_url)
    assert known(market) == [DIGITS]
    assert announce(market) == 0
