"""What trades and leases refer to is there when they are written, and stays, whoever asks."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from backend.bootstrap import downgrade, migrate, new_id
from tests.market import Market

TRADES = "INSERT INTO trades SELECT gen_random_uuid(), {}, {}, {}, node_id, slots, 1, 1 FROM trades"
LEASES = (
    "INSERT INTO leases (id, trade_id, order_id, node_id, slots, price_nano_per_slot_s, earns_nano_per_slot_s, state,"
    " granted_at) SELECT gen_random_uuid(), {}, order_id, {}, slots, 1, 1, 'active', granted_at FROM leases"
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


@pytest.mark.parametrize("table", ["epochs", "offers", "orders", "nodes", "trades", "leases"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET id = gen_random_uuid()", "TRUNCATE {} CASCADE"])
def test_what_they_refer_to_is_not_deleted_and_keeps_its_id(traded: Market, table: str, statement: str) -> None:
    with pytest.raises(DBAPIError, match=f"rows of {table} stay"):
        change(traded, statement.format(table))


@pytest.mark.parametrize(
    "column",
    ["trades SET order_id", "trades SET offer_id", "trades SET epoch_id", "leases SET trade_id", "leases SET node_id"],
)
def test_they_never_refer_to_anything_else_later(traded: Market, column: str) -> None:
    with pytest.raises(DBAPIError, match="and what they refer to"):
        change(traded, f"UPDATE {column} = '{new_id()}'")


def test_the_revision_before_has_foreign_keys_for_them_with_what_was_traded_in_place(traded: Market) -> None:
    url = traded.app.database_url
    downgrade(url, "0006")
    with pytest.raises(DBAPIError, match="fk_trades_order_id"):
        change(traded, TRADES.format("epoch_id", NOBODY, "offer_id"))
    migrate(url)
    with pytest.raises(DBAPIError, match="without its"):
        change(traded, TRADES.format("epoch_id", NOBODY, "offer_id"))
