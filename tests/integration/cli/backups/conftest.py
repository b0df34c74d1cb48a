"""Another deployment, beside the one that the test's market is."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from backend.bootstrap import new_id
from tests.backups import Elsewhere
from tests.integration.cli.runner import Cli
from tests.market import Market


@pytest.fixture
def elsewhere(
    cli: Cli,
    market: Market,
    database_admin: psycopg.Connection,
    redis_url: str,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Elsewhere]:
    """Another deployment on the same servers; `cli` speaks to it from now on."""
    name = f"elsewhere_{new_id().hex}"
    database_admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = make_url(market.app.database_url).set(database=name).render_as_string(hide_password=False)
    monkeypatch.setenv("SWARMEX_DATABASE_URL", url)
    monkeypatch.setenv("SWARMEX_DATA_FOLDER", str(tmp_path / "elsewhere"))
    yield Elsewhere(url, tmp_path / "elsewhere", redis_url, namespace)
    database_admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
