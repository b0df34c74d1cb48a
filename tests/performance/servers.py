"""Real servers for measuring: PostgreSQL that waits for the disk, and Redis, in a folder that goes away again."""

import itertools
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
import redis
from psycopg import sql
from sqlalchemy.engine import make_url

from backend import embedded
from backend.bootstrap import enable_node_login, migrate

TEMPLATE = "template_of_benchmarks"
NODE_PASSWORD = "node0of0the0benchmarks"
TIMEOUT_S = 5


class DurableServers:
    """Up from entering to leaving; every benchmark gets a database of its own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="swarmex-benchmarks-"))
        self.folder.chmod(0o711)  # root's servers run as another account
        self._up: embedded.Servers | None = None
        self._serial = itertools.count(1)

    def __enter__(self) -> Self:
        try:
            self._up = embedded.ensure(self.folder / "servers", durable=True)
            url = self._create(TEMPLATE)
            migrate(url)
            enable_node_login(url, NODE_PASSWORD)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    @property
    def redis_url(self) -> str:
        """Where Redis is."""
        assert self._up is not None
        return self._up.redis_url

    def database(self) -> str:
        """URL of a new migrated database, for the role that owns it."""
        return self._create(f"benchmark_{next(self._serial)}", TEMPLATE)

    def node_url(self, database_url: str) -> str:
        """The same database for the role that nodes use."""
        url = make_url(database_url).set(username="swarmex_node", password=NODE_PASSWORD)
        return url.render_as_string(hide_password=False)

    def empty_redis(self) -> None:
        """Forget whatever the last benchmark left in the queues."""
        with redis.Redis.from_url(self.redis_url, socket_timeout=TIMEOUT_S) as client:
            client.flushall()

    def _create(self, name: str, template: str | None = None) -> str:
        assert self._up is not None
        url = make_url(self._up.database_url)
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        with psycopg.connect(libpq(self._up.database_url), autocommit=True, connect_timeout=TIMEOUT_S) as admin:
            admin.execute(statement)
        return url.set(database=name).render_as_string(hide_password=False)

    def _remove(self) -> None:
        embedded.remove(self.folder / "servers")
        shutil.rmtree(self.folder, ignore_errors=True)


def libpq(url: str) -> str:
    """A database URL as psycopg takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
