"""Clearings on the wire: what is published of each at once, and what a replay of it found."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Amount, Answer
from backend.domain.money import format_credits
from backend.services.epochs import Replay as ReplayFound
from backend.storage.epochs import Epoch as StoredEpoch


class Epoch(Answer):
    """A clearing; the book itself is sealed, its digest is not."""

    id: UUID
    market: str = Field(examples=["cloud/eu-1"])
    mechanism: str
    rules: int = Field(description="Version of the rules that it was cleared by.")
    book_digest: str = Field(description="SHA-256 of the book that was cleared.")
    trades_digest: str | None = Field(description="SHA-256 of what was decided.")
    price: Amount | None = Field(description="Credits per slot-second; null when nothing traded.")
    orders: int
    offers: int
    repeats: int = Field(description="Later clearings that saw the same and did nothing.")
    cleared_at: datetime

    @classmethod
    def of(cls, epoch: StoredEpoch) -> Self:
        """The wire form of an epoch."""
        return cls(
            id=epoch.id,
            market=str(epoch.market),
            mechanism=epoch.mechanism,
            rules=epoch.rules,
            book_digest=epoch.book_digest.hex(),
            trades_digest=epoch.trades_digest.hex() if epoch.trades_digest else None,
            price=None if epoch.price_nano is None else format_credits(epoch.price_nano),
            orders=epoch.orders,
            offers=epoch.offers,
            repeats=epoch.repeats,
            cleared_at=epoch.cleared_at,
        )


class Replay(Answer):
    """An epoch computed again; only `equal` proves anything."""

    epoch: Epoch
    verdict: str = Field(examples=["equal"])
    decided: int = Field(description="Trades that were decided then.")
    computed: int = Field(description="Trades that its book gives now.")

    @classmethod
    def of(cls, found: ReplayFound) -> Self:
        """The wire form of a replay."""
        return cls(epoch=Epoch.of(found.epoch), verdict=found.verdict, decided=found.decided, computed=found.computed)
