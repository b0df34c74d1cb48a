"""Putting another market in the place of this one: what is there is set aside, and dropped or put back."""

import time

from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from backend.domain.errors import Unavailable

ASIDE, TRASH = "swarmex_aside", "swarmex_trash"
NODE_ROLE = "swarmex_node"
LEAVING_ATTEMPTS_MAX = 10  # a session that was closed is listed for a moment longer
LEAVING_RETRY_S = 0.1
STATEMENT_TIMEOUT_S = 1800

# Tables take their indexes, triggers and own sequences along; functions find each other by the search path that they
# set themselves. What belongs to an extension stays where it is.
_MOVE = """
    DO $move$
    DECLARE thing record;
    BEGIN
        FOR thing IN
            SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                        ELSE 'TABLE' END AS kind, c.oid::regclass::text AS name
            FROM pg_class c
            WHERE c.relnamespace = to_regnamespace('{source}') AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
              AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                              AND d.deptype IN ('e', 'a', 'i'))
            UNION ALL
            SELECT 'ROUTINE', p.oid::regprocedure::text FROM pg_proc p
            WHERE p.pronamespace = to_regnamespace('{source}')
              AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                              AND d.deptype = 'e')
        LOOP
            EXECUTE format('ALTER %s %s SET SCHEMA {target}', thing.kind, thing.name);
        END LOOP;
    END
    $move$
"""


class ReplacementRepository:
    """The market of this database as a whole."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def accounts(self) -> int:
        """How many accounts the market has; 0 when there is none."""
        if not self._connection.execute(text("SELECT to_regclass('public.accounts') IS NOT NULL")).scalar_one():
            return 0
        return int(self._connection.execute(text("SELECT count(*) FROM accounts")).scalar_one())

    def was_cut_short(self) -> bool:
        """Whether a replacement was interrupted before anything took the place of what it had set aside."""
        found = self._connection.execute(
            text("SELECT to_regnamespace(:aside) IS NOT NULL AND to_regclass('public.alembic_version') IS NULL"),
            {"aside": ASIDE},
        )
        return bool(found.scalar_one())

    def is_aside(self) -> bool:
        """Whether a replacement was begun and not ended."""
        found = self._connection.execute(text("SELECT to_regnamespace(:aside) IS NOT NULL"), {"aside": ASIDE})
        return bool(found.scalar_one())

    def await_others(self) -> int:
        """How many other processes of ours are connected, after those that are leaving have left."""
        for _ in range(LEAVING_ATTEMPTS_MAX):
            count = self._others()
            if not count:
                break
            time.sleep(LEAVING_RETRY_S)
        return count

    def make_node_role(self) -> None:
        """The role that executors log in as belongs to the whole server: a new one does not have it.

        Raises Unavailable(`no_node_role`) for an owner who may not make roles.
        """
        known = self._connection.execute(text("SELECT FROM pg_roles WHERE rolname = :name"), {"name": NODE_ROLE})
        if known.first() is not None:
            return
        try:
            self._connection.execute(text(f"CREATE ROLE {NODE_ROLE} NOLOGIN"))
        except ProgrammingError as error:
            raise Unavailable(
                f"the server has no role {NODE_ROLE}, and the database's owner may not make it",
                code="no_node_role",
                field="SWARMEX_DATABASE_URL",
                accepted=f"CREATE ROLE {NODE_ROLE} NOLOGIN, by somebody who may",
            ) from error

    def set_aside(self) -> None:
        """Empty the schema, keeping all of it elsewhere."""
        self._connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_S} s'"))
        self.drop_aside()
        self._connection.execute(text(f"CREATE SCHEMA {ASIDE}"))
        self._move("public", ASIDE)

    def put_back(self) -> None:
        """Undo `set_aside`, whatever has come meanwhile."""
        self._connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_S} s'"))
        self._connection.execute(text(f"CREATE SCHEMA {TRASH}"))
        self._move("public", TRASH)
        self._move(ASIDE, "public")
        for schema in (TRASH, ASIDE):
            self._connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))

    def drop_aside(self) -> None:
        """Forget what was set aside."""
        self._connection.execute(text(f"DROP SCHEMA IF EXISTS {ASIDE} CASCADE"))

    def analyse(self) -> None:
        """Tell the planner what has come."""
        self._connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_S} s'"))
        self._connection.execute(text("ANALYZE"))

    def _others(self) -> int:
        # A transaction is told of the sessions that there were when it first asked, unless it forgets them.
        self._connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        found = self._connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND (application_name = 'swarmex' OR usename = :node)"
            ),
            {"node": NODE_ROLE},
        )
        return int(found.scalar_one())

    def _move(self, source: str, target: str) -> None:
        self._connection.execute(text(_MOVE.format(source=source, target=target)))
