"""The schema's revisions, and the role that nodes log in with."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url, text

from backend.bootstrap.engines import make_engine
from backend.bootstrap.node import NODE_ROLE

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parents[2] / "migrations"


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
    engine = make_engine(database_url, pool_size=1, max_overflow=0)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('swarmex node role', 0))"))
            connection.execute(text(f"ALTER ROLE {NODE_ROLE} LOGIN PASSWORD '{password}'"))
    finally:
        engine.dispose()
    url = make_url(database_url).set(username=NODE_ROLE, password=password)
    return url.render_as_string(hide_password=False)


def _alembic(database_url: str, run: Callable[["Config"], None]) -> None:
    from alembic import config as alembic_config  # slow to import, and rarely needed

    config = alembic_config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = make_engine(database_url, pool_size=2, max_overflow=0)
    try:
        with engine.connect() as guard, engine.connect() as connection:
            guard.execute(text("SELECT pg_advisory_lock(hashtextextended('swarmex migrations', 0))"))
            config.attributes["connection"] = connection
            run(config)
            connection.commit()
    finally:
        engine.dispose()
