"""Puts a deployment together: settings, database, Redis, objects, units of work."""

import os
import secrets
from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine, text

from backend.bootstrap.configuration import settings
from backend.bootstrap.engines import make_engine
from backend.bootstrap.node import NODE_ROLE
from backend.bootstrap.schema import enable_node_login, latest_revision, migrate
from backend.config import Settings
from backend.domain.errors import Unavailable
from backend.messaging.account_webhooks import AccountWebhooks
from backend.messaging.breakers import Breakers
from backend.messaging.bus import BREAKER_POLICY, Bus
from backend.messaging.read_cache import BREAKER_POLICY as CACHE_POLICY
from backend.messaging.read_cache import ReadCache
from backend.messaging.webhook import BREAKER_POLICY as WEBHOOK_POLICY
from backend.messaging.webhook import Webhook
from backend.storage.objects import ObjectStore

if TYPE_CHECKING:
    from backend.storage.unit_of_work import UnitOfWork

POOL_SIZE = 5
POOL_OVERFLOW = 15


class Swarmex:
    """Everything wired for one deployment; connects when first used."""

    def __init__(self, settings: Settings, database_url: str, redis_url: str) -> None:
        self.settings = settings
        self.database_url = database_url
        self.redis_url = redis_url

    @property
    def folder(self) -> Path:
        """The data folder."""
        return self.settings.folder

    @cached_property
    def engine(self) -> Engine:
        """Connections of the owner's role."""
        return make_engine(self.database_url, POOL_SIZE, POOL_OVERFLOW)

    @cached_property
    def bus(self) -> Bus:
        """Wake-up hints."""
        # Not shared: over Redis, nobody can be told that Redis is away.
        breaker = self.breakers.get("bus", "redis", BREAKER_POLICY, shared=False)
        return Bus(self.redis_url, self.settings.bus_namespace, breaker)

    @cached_property
    def breakers(self) -> Breakers:
        """Breakers of this process; shared once they are started."""
        return Breakers.on(self.redis_url, self.settings.bus_namespace)

    @cached_property
    def webhook(self) -> Webhook | None:
        """Who is told of incidents; None where nobody is. Raises Invalid(`invalid_setting`)."""
        if self.settings.alert_webhook is None:
            return None
        breaker = self.breakers.get("webhook", "alerts", WEBHOOK_POLICY, shared=False)
        return Webhook(self.settings.alert_webhook, self.settings.alert_webhook_secret, breaker)

    @cached_property
    def link_secret(self) -> str:
        """What links and accounts' webhooks are signed with, unless a setting says otherwise: the database's own."""
        if self.settings.link_secret:
            return self.settings.link_secret
        with self.uow() as uow:
            return uow.account_deliveries.signing_secret()

    @cached_property
    def account_webhooks(self) -> AccountWebhooks:
        """Who calls the webhooks that accounts name; SWARMEX_WEBHOOK_HOSTS may be private, or plain http."""
        return AccountWebhooks([host.strip() for host in self.settings.webhook_hosts.split(",") if host.strip()])

    @cached_property
    def objects(self) -> ObjectStore:
        """Model files."""
        return ObjectStore(self.settings.objects)

    @cached_property
    def model_cache(self) -> ReadCache:
        """What the API answers about models."""
        breaker = self.breakers.get("cache", "redis", CACHE_POLICY, shared=False)
        return ReadCache(self.redis_url, self.settings.bus_namespace, "models", breaker)

    def uow(self) -> "UnitOfWork":
        """A unit of work of its own: one per thread and transaction."""
        from backend.storage.unit_of_work import UnitOfWork  # slow to import, and nodes never need it

        return UnitOfWork(self.engine, self.bus.publish, self._outdate)

    def _outdate(self, revisions: Mapping[str, int]) -> None:
        self.model_cache.outdate(revisions)  # made when a model changes first, which few processes ever do

    def schema_revision(self) -> str | None:
        """The migration that the database is at, None when it is empty."""
        with self.engine.connect() as connection:
            if not connection.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL")).scalar_one():
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()

    def node_database_url(self) -> str:
        """The URL of the role that nodes use; on embedded servers its login is made here."""
        if self.settings.node_database_url:
            return self.settings.node_database_url
        if self.settings.database_url:
            raise Unavailable(
                "nodes need a database URL of their own",
                code="no_node_database_url",
                field="SWARMEX_NODE_DATABASE_URL",
                accepted=f"a URL of the role {NODE_ROLE}, after ALTER ROLE {NODE_ROLE} LOGIN PASSWORD '…'",
            )
        return enable_node_login(self.database_url, _kept_secret(self.folder / "node.password"))

    def close(self) -> None:
        """Drop all connections."""
        if "engine" in self.__dict__:
            self.engine.dispose()
        if "bus" in self.__dict__:
            self.bus.close()
        if "model_cache" in self.__dict__:
            self.model_cache.close()
        if "breakers" in self.__dict__:
            self.breakers.close()


def connect(chosen: Settings | None = None, *, start_servers: bool = True, without_redis: bool = False) -> Swarmex:
    """Wire a deployment; embedded servers stand in for every URL that is not set.

    With `start_servers` they are started (and the schema brought up to date) when they are not up; otherwise raises
    Unavailable saying how to start them. `without_redis` starts nothing and is content with PostgreSQL.
    """
    chosen = chosen or settings()
    if chosen.database_url and chosen.redis_url:
        return Swarmex(chosen, chosen.database_url, chosen.redis_url)
    from backend import embedded  # slow to import, and often not needed

    start_servers = start_servers and not without_redis
    found = embedded.ensure if start_servers else partial(embedded.find, without_redis=without_redis)
    servers = found(chosen.folder)
    if servers is None:
        raise Unavailable(
            f"no servers run in {chosen.folder}",
            code="not_running",
            field="SWARMEX_DATA_FOLDER",
            accepted="`swarmex up` starts them; or set SWARMEX_DATABASE_URL and SWARMEX_REDIS_URL",
        )
    market = Swarmex(chosen, chosen.database_url or servers.database_url, chosen.redis_url or servers.redis_url)
    if start_servers and market.schema_revision() != latest_revision():
        migrate(market.database_url)
    return market


def revive_servers(chosen: Settings) -> bool:
    """Start embedded servers that died again, where they were; returns whether any had. Raises EmbeddedServerFailed."""
    if chosen.database_url and chosen.redis_url:
        return False
    from backend import embedded

    return embedded.revive(chosen.folder)


def stop_servers(chosen: Settings | None = None) -> None:
    """Stop the embedded servers of the data folder, if any run; what they keep stays."""
    from backend import embedded

    embedded.stop((chosen or settings()).folder)


def _kept_secret(path: Path) -> str:
    """The secret in a file only the owner reads, made when it is not there; two processes get the same one."""
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(secrets.token_hex(24))
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return path.read_text()
