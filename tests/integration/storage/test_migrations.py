"""The schema that migrations make is the one that the tables describe."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, create_engine, inspect, text

from backend.bootstrap import downgrade, migrate
from backend.domain.orders import OrderState
from backend.storage.tables import Base
from tests.integration.services.judged import Lab
from tests.market import Market


def test_the_migrated_schema_equals_the_tables(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
        checks = {
            (table, check["name"])
            for table in Base.metadata.tables
            for check in inspect(connection).get_check_constraints(table)
        }
    engine.dispose()
    declared = {
        (table.name, str(constraint.name))
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    assert checks == declared


def test_down_and_up_again_works_and_down_leaves_nothing(database_url: str) -> None:
    engine = create_engine(database_url)
    downgrade(database_url, "base")
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
        functions = text("SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
        assert connection.execute(functions).scalar_one() == 0
    migrate(database_url)
    migrate(database_url)
    with engine.connect() as connection:
        kinds = connection.execute(text("SELECT kind FROM ledger_accounts ORDER BY id")).scalars().all()
    engine.dispose()
    assert kinds == ["world", "fees", "credits"]


def test_work_that_waits_to_be_judged_goes_down_as_unpaid_and_its_order_can_still_end(market: Market) -> None:
    lab = Lab.of(market, 2)
    waiting, judged = lab.place()
    first, second = lab.claim()
    lab.report([first, second])
    lab.judge([judged.id], rejected={second.item_id: "not_finite"})
    url = market.app.engine.url.render_as_string(hide_password=False)
    downgrade(url, "0005")
    with market.app.engine.connect() as connection:
        assert set(connection.execute(text("SELECT state FROM work_items")).scalars()) == {"cancelled"}
    migrate(url)
    assert market.show(judged).charged_nano == 0
    lab.judge([waiting.id], [first.item_id])
    assert (market.show(waiting).state, market.show(waiting).charged_nano) == (OrderState.SETTLED, 0)
    assert market.wallet().reserved_nano == 0


def test_states_that_pass_within_seconds_have_statistics_before_0009_only(market: Market) -> None:
    lab = Lab.of(market, 2)
    lab.place()
    lab.claim()
    url = market.app.engine.url.render_as_string(hide_password=False)

    def known() -> set[str]:
        with market.app.engine.begin() as connection:
            connection.execute(text("ANALYZE"))
            return set(
                connection.execute(
                    text("SELECT tablename FROM pg_stats WHERE schemaname = 'public' AND attname = 'state'")
                ).scalars()
            )

    passed_through = {"orders", "leases", "holds"}
    assert not known() & passed_through
    downgrade(url, "0008")
    assert known() >= passed_through
    migrate(url)
    assert not known() & passed_through
    assert "nodes" in known()
