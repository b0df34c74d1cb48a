"""Backups in tests: markets that are copied while they trade, empty deployments to restore into, looks at databases."""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from backend.bootstrap import Settings, Swarmex, connect_node, latest_revision, utc_now
from backend.domain import backups
from backend.domain.access import Principal, Role
from backend.services import accounts, backup, deposits, models
from backend.storage import programs
from tests.conftest import NODE_PASSWORD, NODE_ROLE
from tests.market import Market
from tests.waiting import PATIENCE_S


class Restored(Market):
    """The market of a restored database: whoever was there is there."""

    def __init__(self, database_url: str, redis_url: str, namespace: str, folder: Path) -> None:
        settings = Settings(data_folder=folder, database_url=database_url, redis_url=redis_url, bus_namespace=namespace)
        node_url = make_url(database_url).set(username=NODE_ROLE, password=NODE_PASSWORD)
        self.app = Swarmex(settings, database_url, redis_url)
        self.node_database = connect_node(
            settings.model_copy(update={"node_database_url": node_url.render_as_string(hide_password=False)})
        )
        self.buyer, self.provider = (
            Principal(None, accounts.show_account(self.app.uow(), name).id, Role.PROVIDER)
            for name in ("buyer", "provider")
        )
        self.model = models.get_model(self.app.uow(), "doubling")


@dataclass(frozen=True)
class Elsewhere:
    """A database without anything in it, and a data folder; the command line works there."""

    database_url: str
    folder: Path
    redis_url: str
    namespace: str

    def market(self) -> Restored:
        """What has been restored."""
        return Restored(self.database_url, self.redis_url, self.namespace, self.folder)

    def is_empty(self) -> bool:
        """Whether the database has nothing in it."""
        return look(self.database_url, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0

    def is_untouched(self) -> bool:
        """Whether nothing has been written."""
        return self.is_empty() and not (self.folder / "objects").exists()


def make(
    market: Market, folder: Path, tell: backup.Tell = backup.silent, database_url: str | None = None
) -> backups.Manifest:
    """A backup by the service itself; `database_url` is for pg_dump alone."""
    app, now = market.app, utc_now()
    url = database_url or app.database_url
    return backup.make_backup(app.uow, now, url, app.objects, folder, "1.2.3", latest_revision(), tell)


def rewrite(made: backups.Manifest, folder: Path, **changes: object) -> None:
    """Another manifest, which is whole in itself."""
    facts = {name: getattr(made, name) for name in backups.Manifest.__slots__}
    (folder / "manifest.json").write_text(backups.to_json(backups.Manifest(**{**facts, **changes})))


@contextmanager
def trading(market: Market) -> Iterator[list[int]]:
    """Orders are placed, run and settled all the time; the list grows with each round."""
    rounds: list[int] = []
    stop = threading.Event()
    market.node("busy", slots=4)
    executor = market.executor()

    def trade() -> None:
        while not stop.is_set():
            executor.beat()
            market.place(3)
            deposits.deposit(market.app.uow(), utc_now(), market.provider.account_id, 1, f"round {len(rounds)}")
            market.run(executor)
            rounds.append(len(rounds))

    thread = threading.Thread(target=trade)
    thread.start()
    try:
        yield rounds
    finally:
        stop.set()
        thread.join(timeout=PATIENCE_S)
        assert not thread.is_alive()


def await_rounds(rounds: list[int], count: int) -> None:
    """Wait until so many rounds were traded."""
    deadline = time.monotonic() + PATIENCE_S
    while len(rounds) < count:
        assert time.monotonic() < deadline, "trading stopped"
        time.sleep(0.01)


def look(database_url: str, query: str) -> object:
    """The one value that a query gives."""
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            return connection.execute(text(query)).scalar_one()
    finally:
        engine.dispose()


def schema_of(database_url: str) -> list[str]:
    """The whole schema with its rights, as pg_dump writes it."""
    program = programs.find("pg_dump", 18)
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    told = subprocess.run(
        [program.path, "--schema-only", "--no-owner", f"--dbname={url}"], capture_output=True, text=True, check=True
    )
    return [line for line in told.stdout.splitlines() if "restrict" not in line]


def contents_of(database_url: str) -> dict[str, object]:
    """A fingerprint of each table's rows."""
    names = text(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1"
    )
    engine = create_engine(database_url)
    with engine.connect() as connection:
        tables = connection.execute(names).scalars().all()
        found = {
            table: connection.execute(
                text(f"SELECT md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '')) FROM \"{table}\" t")
            ).scalar_one()
            for table in tables
        }
    engine.dispose()
    return found


def leave(market: Market) -> None:
    """Close the market's connections, as stopping its processes does."""
    market.app.close()
    market.node_database.close()
