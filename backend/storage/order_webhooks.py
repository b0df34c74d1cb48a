"""Orders whose end is to be told, until it is owed to the webhook."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from backend.domain.ids import AccountId, OrderId
from backend.storage.rows import insert_rows
from backend.storage.tables import OrderWebhookRow


@dataclass(frozen=True, slots=True)
class OrderEnd:
    """An order that ended, and who is to be told."""

    order_id: OrderId
    account_id: AccountId
    url: str
    state: str
    closed_at: datetime


class OrderWebhookRepository:
    """Webhooks by order."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, webhooks: Sequence[tuple[OrderId, AccountId, str]]) -> None:
        """Have the ends of these orders told."""
        insert_rows(
            self._connection,
            OrderWebhookRow,
            [{"order_id": order, "account_id": account, "url": url} for order, account, url in webhooks],
        )

    def url_of(self, order_id: OrderId) -> str | None:
        """Who is to be told of an order's end; None if nobody is, or if that is owed already."""
        found = self._connection.execute(
            text("SELECT url FROM order_webhooks WHERE order_id = :order"), {"order": order_id}
        )
        url: str | None = found.scalar_one_or_none()
        return url

    def take_ended(self, limit: int) -> list[OrderEnd]:
        """Orders that have ended; they are asked for no more, so that each is owed once."""
        rows = self._connection.execute(
            text("""
                WITH ended AS (
                    SELECT w.order_id, o.state, o.closed_at FROM order_webhooks w JOIN orders o ON o.id = w.order_id
                    WHERE o.closed_at IS NOT NULL ORDER BY w.order_id LIMIT :limit FOR UPDATE OF w SKIP LOCKED
                )
                DELETE FROM order_webhooks w USING ended e WHERE w.order_id = e.order_id
                RETURNING w.order_id, w.account_id, w.url, e.state, e.closed_at
            """),
            {"limit": limit},
        )
        return [OrderEnd(**row._mapping) for row in rows]
