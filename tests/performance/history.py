"""Old orders by the thousand: a batch that was settled, copied under older ids with all that belongs to it."""

from sqlalchemy import Engine, Table, text

from backend.storage.tables import HoldRow, ItemRow, LeaseRow, OrderRow, OutboxRow, TradeRow, TransferRow, UnitRow

# In the order of their references to each other.
COPIED: tuple[Table, ...] = tuple(
    row.metadata.tables[row.__tablename__]
    for row in (HoldRow, OrderRow, TradeRow, LeaseRow, UnitRow, OutboxRow, ItemRow, TransferRow)
)
COPY_TIMEOUT_S = 600
TO_COPIED = {"order_id", "hold_id", "trade_id", "lease_id", "unit_id"}


def copy_all(engine: Engine, copies: int) -> None:
    """Copy every order in the database so many times, and let the planner know.

    A copy's ids are those of the original with another beginning: still unique, and older than any id made now. Its
    money was never in a wallet, so the books do not balance afterwards.
    """
    with engine.begin() as connection:
        connection.execute(text(f"SET LOCAL statement_timeout = '{COPY_TIMEOUT_S} s'"))
        for table in COPIED:
            names = [column.name for column in table.columns]
            values = ", ".join(_older(name) if name == "id" or name in TO_COPIED else f"t.{name}" for name in names)
            connection.execute(
                text(
                    f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {values}"
                    f" FROM {table.name} t CROSS JOIN generate_series(1, :copies) AS c (number)"
                    f" WHERE {'reference IS NULL' if 'reference' in names else 'true'}"
                ),
                {"copies": copies},
            )
        connection.execute(text("ANALYZE"))


def _older(name: str) -> str:
    return f"CAST(overlay(CAST(t.{name} AS text) PLACING lpad(to_hex(c.number), 8, '0') FROM 1 FOR 8) AS uuid)"
