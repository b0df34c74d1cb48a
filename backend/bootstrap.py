"""Composition root: the only reader of the settings, and the only place where things are wired together."""

import logging
import os
import secrets
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import psycopg
import structlog
from psycopg.types.array import ListBinaryDumper
from psycopg.types.json import set_json_loads
from pydantic import ValidationError
from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DisconnectionError

from backend.config import Settings
from backend.domain.errors import Invalid, Unavailable
from backend.messaging.bus import Bus
from backend.storage.ids import new_id
from backend.storage.node_database import NodeDatabase
from backend.storage.objects import ObjectStore

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy.pool import ConnectionPoolEntry

    from backend.storage.unit_of_work import UnitOfWork

__all__ = [
    "Settings",
    "Swarmex",
    "configure_logging",
    "connect",
    "connect_node",
    "downgrade",
    "enable_node_login",
    "latest_revision",
    "migrate",
    "new_id",
    "settings",
    "stop_servers",
    "utc_now",
]

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 30_000
LOCK_TIMEOUT_MS = 10_000
POOL_SIZE = 5
POOL_OVERFLOW = 15
POOL_TIMEOUT_S = 10
PING_AFTER_S = 1.0
NODE_ROLE = "swarmex_node"
MIGRATIONS = Path(__file__).parent.parent / "migrations"


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
        return _engine(self.database_url, POOL_SIZE, POOL_OVERFLOW)

    @cached_property
    def bus(self) -> Bus:
        """Wake-up hints."""
        return Bus(self.redis_url, self.settings.bus_namespace)

    @cached_property
    def objects(self) -> ObjectStore:
        """Model files."""
        return ObjectStore(self.settings.objects)

    def uow(self) -> "UnitOfWork":
        """A unit of work of its own: one per thread and transaction."""
        from backend.storage.unit_of_work import UnitOfWork  # slow to import, and nodes never need it

        return UnitOfWork(self.engine, self.bus.publish)

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


def settings() -> Settings:
    """Settings from the environment; raises Invalid(`invalid_setting`) naming the variable."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = f"SWARMEX_{first['loc'][0]}".upper()
        raise Invalid(f"{name} cannot be used", code="invalid_setting", field=name, accepted=first["msg"]) from None


def connect(chosen: Settings | None = None, *, start_servers: bool = True) -> Swarmex:
    """Wire a deployment; embedded servers stand in for every URL that is not set.

    With `start_servers` they are started (and the schema brought up to date) when they are not up; otherwise raises
    Unavailable saying how to start them.
    """
    chosen = chosen or settings()
    if chosen.database_url and chosen.redis_url:
        return Swarmex(chosen, chosen.database_url, chosen.redis_url)
    from backend import embedded  # slow to import, and often not needed

    servers = embedded.ensure(chosen.folder) if start_servers else embedded.find(chosen.folder)
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


def stop_servers(chosen: Settings | None = None) -> None:
    """Stop the embedded servers of the data folder, if any run; what they keep stays."""
    from backend import embedded

    embedded.stop((chosen or settings()).folder)


def connect_node(chosen: Settings | None = None) -> NodeDatabase:
    """What an inference agent gets of the database: a few functions, and no table."""
    chosen = chosen or settings()
    if not chosen.node_database_url:
        raise Unavailable(
            "an inference agent needs the node role's database URL",
            code="no_node_database_url",
            field="SWARMEX_NODE_DATABASE_URL",
            accepted=f"the manager sets it; by hand, a URL of the role {NODE_ROLE}",
        )
    return NodeDatabase(_engine(chosen.node_database_url, pool_size=2, max_overflow=2))


def latest_revision() -> str:
    """The newest migration, by the names of their files: asking Alembic would take a quarter of a second."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def migrate(database_url: str, revision: str = "head") -> None:
    """Bring the schema to a revision; several processes may call it at once."""
    from alembic import command  # slow to import, and rarely needed

    _alembic(database_url, lambda config: command.upgrade(config, revision))


def downgrade(database_url: str, revision: str) -> None:
    """Take the schema back to a revision ("base" empties the database)."""
    from alembic import command  # slow to import, and rarely needed

    _alembic(database_url, lambda config: command.downgrade(config, revision))


def enable_node_login(database_url: str, password: str) -> str:
    """Let the node role log in with a password of letters and digits; returns its URL."""
    if not password.isalnum():
        raise ValueError("the password is put into a statement: letters and digits only")
    engine = _engine(database_url, pool_size=1, max_overflow=0)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('swarmex node role', 0))"))
            connection.execute(text(f"ALTER ROLE {NODE_ROLE} LOGIN PASSWORD '{password}'"))
    finally:
        engine.dispose()
    url = make_url(database_url).set(username=NODE_ROLE, password=password)
    return url.render_as_string(hide_password=False)


def utc_now() -> datetime:
    """The time; services are handed it and never look themselves."""
    return datetime.now(UTC)


def configure_logging(level: str = "INFO") -> None:
    """Structured lines of JSON on standard error, one per fact; libraries' own log lines become such too."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(logging.WARNING, _level(level)), force=True)
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(_level(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _level(name: str) -> int:
    return logging.getLevelNamesMapping()[name.upper()]


def _alembic(database_url: str, run: Callable[["Config"], None]) -> None:
    from alembic import config as alembic_config  # slow to import, and rarely needed

    config = alembic_config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = _engine(database_url, pool_size=2, max_overflow=0)
    try:
        with engine.connect() as guard, engine.connect() as connection:
            guard.execute(text("SELECT pg_advisory_lock(hashtextextended('swarmex migrations', 0))"))
            config.attributes["connection"] = connection
            run(config)
            connection.commit()
    finally:
        engine.dispose()


def _engine(url: str, pool_size: int, max_overflow: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=POOL_TIMEOUT_S,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "swarmex",
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS} -c timezone=UTC",
            "tcp_user_timeout": STATEMENT_TIMEOUT_MS,
        },
    )
    # A batch is a list per column; written as text, a thousand payloads take a hundred times as long (measured).
    event.listen(engine, "connect", _speed_up)
    event.listen(engine, "checkin", _came_back)
    event.listen(engine, "checkout", _still_there)
    return engine


def _speed_up(raw: "psycopg.Connection", _: object) -> None:
    raw.adapters.register_dumper(list, ListBinaryDumper)
    set_json_loads(orjson.loads, raw)


def _came_back(_: object, record: "ConnectionPoolEntry") -> None:
    record.info["idle_since"] = time.monotonic()


def _still_there(raw: "psycopg.Connection", record: "ConnectionPoolEntry", _: object) -> None:
    """Ask a connection that was idle whether it still works; asking each time would cost a round trip more."""
    if time.monotonic() - record.info.get("idle_since", 0) < PING_AFTER_S:
        return
    try:
        raw.execute("")
        raw.rollback()
    except psycopg.Error as error:
        raise DisconnectionError from error  # the pool opens another


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
