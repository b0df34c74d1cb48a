"""Alembic's environment: runs on the connection it is handed, or on SWARMEX_DATABASE_URL."""

import os

from alembic import context
from sqlalchemy import Connection, create_engine

from backend.storage.tables import Base


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


handed: Connection | None = context.config.attributes.get("connection")
if handed is not None:
    _run(handed)
else:
    with create_engine(os.environ["SWARMEX_DATABASE_URL"]).connect() as own:
        _run(own)
