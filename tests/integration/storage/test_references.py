"""What trades, leases and items refer to is there when they are written, and stays, whoever asks."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from backend.bootstrap import downgrade, migrate, new_id, utc_now
from backend.domain.ids import ItemId, LeaseId
from backend.domain.work import PackedUnit
from tests.market import Market

TRADES = "INSERT INTO trades SELECT gen_random_uuid(), {}, {}, {}, node_id, slots, 1, 1 FROM trades"
LEASES = (
    "INSERT INTO leases (id, trade_id, order_id, node_id, slots, price_nano_per_slot_s, earns_nano_per_slot_s, state,"
    " granted_at) SELECT gen_random_uuid(), {}, order_id, {}, slots, 1, 1, 'active', granted_at FROM leases"
)
ITEMS = (
    "INSERT INTO work_items (id, order_id, seq, rows, us_max, inputs, state, lease_id, unit_id)"
    " SELECT gen_random_uuid(), {}, seq + 100, rows, us_max, inputs, state, {}, {} FROM work_items"
)
NOBODY = "gen_random_uuid()"


@pytest.fixture
def traded(market: Market) -> Market:
    """Three trades with their leases."""
    market.node("a", slots=3)
    market.executor()
    market.place(3)
    assert market.clear() == 3
    return market


def change(market: Market, statement: str) -> int:
    with market.app.engine.begin() as connection:
        return connection.execute(text(statement)).rowcount


@pytest.mark.parametrize(
    "statement",
    [
        TRADES.format(NOBODY, "order_id", "offer_id"),
        TRADES.format("epoch_id", NOBODY, "offer_id"),
        TRADES.format("epoch_id", "order_id", NOBODY),
        LEASES.format(NOBODY, "node_id"),
        LEASES.format("trade_id", NOBODY),
        # one of three is wrong
        TRADES.format("epoch_id", f"CASE row_number() OVER () WHEN 2 THEN {NOBODY} ELSE order_id END", "offer_id"),
    ],
)
def test_trades_and_leases_of_what_does_not_exist_are_refused(traded: Market, statement: str) -> None:
    with pytest.raises(DBAPIError, match="without its"):
        change(traded, statement)
    assert change(traded, TRADES.format("epoch_id", "order_id", "offer_id")) == 3
    assert change(traded, LEASES.format("trade_id", "node_id")) == 3


@pytest.mark.parametrize(
    "statement",
    [
        ITEMS.format(NOBODY, "lease_id", "unit_id"),
        ITEMS.format("order_id", NOBODY, "unit_id"),
        ITEMS.format("order_id", "lease_id", NOBODY),
        ITEMS.format("order_id", f"CASE row_number() OVER () WHEN 2 THEN {NOBODY} ELSE lease_id END", "unit_id"),
    ],
)
def test_items_of_what_does_not_exist_are_refused(traded: Market, statement: str) -> None:
    with pytest.raises(DBAPIError, match="an item without its order, lease or unit"):
        change(traded, statement)
    assert change(traded, ITEMS.format("order_id", "lease_id", "unit_id")) == 3


def test_an_item_is_queued_on_a_lease_that_exists_or_not_at_all(traded: Market) -> None:
    with traded.app.engine.begin() as connection:
        items = connection.execute(text("SELECT id, lease_id FROM work_items ORDER BY id")).all()
    good = [(ItemId(row.id), LeaseId(row.lease_id)) for row in items]
    bad = [*good[:2], (good[2][0], LeaseId(new_id()))]
    with traded.app.uow() as uow, pytest.raises(DBAPIError, match="placed_has_lease"):
        uow.work.queue([PackedUnit("pool.pool", 0, tuple(bad))], utc_now())
    with traded.app.uow() as uow:
        [unit] = uow.work.queue([PackedUnit("pool.pool", 0, tuple(good))], utc_now())
        uow.commit()
    found = "SELECT 1 FROM work_items WHERE unit_id = :unit AND lease_id IS NOT NULL AND state = 'queued'"
    with traded.app.engine.begin() as connection:
        assert len(connection.execute(text(found), {"unit": unit.unit_id}).all()) == 3


@pytest.mark.parametrize("table", ["epochs", "offers", "orders", "nodes", "trades", "leases", "units"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET id = gen_random_uuid()", "TRUNCATE {} CASCADE"])
def test_what_they_refer_to_is_not_deleted_and_keeps_its_id(traded: Market, table: str, statement: str) -> None:
    with pytest.raises(DBAPIError, match=f"rows of {table} stay"):
        change(traded, statement.format(table))


@pytest.mark.parametrize(
    "column",
    [
        "trades SET order_id",
        "trades SET offer_id",
        "trades SET epoch_id",
        "leases SET trade_id",
        "leases SET node_id",
        "work_items SET order_id",
    ],
)
def test_they_never_refer_to_anything_else_later(traded: Market, column: str) -> None:
    with pytest.raises(DBAPIError, match="and what they refer to"):
        change(traded, f"UPDATE {column} = '{new_id()}'")


@pytest.mark.parametrize(
    ("revision", "key", "statement"),
    [
        ("0006", "fk_trades_order_id", TRADES.format("epoch_id", NOBODY, "offer_id")),
        ("0007", "fk_work_items_lease_id", ITEMS.format("order_id", NOBODY, "unit_id")),
    ],
)
def test_the_revision_before_has_foreign_keys_with_what_was_traded_in_place(
    traded: Market, revision: str, key: str, statement: str
) -> None:
    url = traded.app.database_url
    downgrade(url, revision)
    with pytest.raises(DBAPIError, match=key):
        change(traded, statement)
    migrate(url)
    with pytest.raises(DBAPIError, match="without its"):
        change(traded, statement)
