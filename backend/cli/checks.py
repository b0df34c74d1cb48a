"""What the doctor looks at: each check says what it found, how bad that is, and what to do about it."""

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from backend.cli import deployment, processes, servers
from backend.cli.connection import is_embedded
from backend.cli.findings import Finding, Verdict
from backend.cli.grpc_check import examine_grpc
from backend.cli.infer import api_url
from backend.domain.fleet import missing_members

if TYPE_CHECKING:
    from backend.bootstrap import Settings, Swarmex

DISK_FREE_MIN_BYTES = 500_000_000
AUDIT_AGE_MAX_S = 60
BEHIND = "at migration"


def examine(settings: "Settings") -> Iterator[Finding]:
    """All findings, from the ground up; what stands on something that is down is not looked at."""
    yield _folder(settings)
    yield _disk(settings)
    complete = not is_embedded(settings) or servers.are_up(settings)
    if not complete and not servers.are_up(settings, without_redis=True):
        yield Finding("servers", Verdict.WRONG, "PostgreSQL and Redis do not run", "`swarmex up` starts everything")
        return
    if not complete:
        do = f"if its process hangs: kill -9 $(cat {settings.folder}/redis/redis.pid); the manager starts another"
        yield Finding("redis", Verdict.WRONG, "it does not answer: queues and events stand still", do)
    from backend import bootstrap

    market = bootstrap.connect(settings, start_servers=False, without_redis=not complete)
    try:
        yield from _running(market)
    finally:
        market.close()


def _running(market: "Swarmex") -> Iterator[Finding]:
    schema = _schema(market)
    answers = schema.verdict is Verdict.OK or schema.found.startswith(BEHIND)
    interrupted = list(_interrupted(market)) if answers else []
    yield from interrupted or [schema]
    if interrupted or schema.verdict is Verdict.WRONG:
        return
    yield _manager(market)
    yield _agents(market)
    yield _api()
    yield from examine_grpc(market)
    yield _nodes(market)
    yield _ledger(market)
    yield _last_audit(market)


def _folder(settings: "Settings") -> Finding:
    folder = settings.folder
    if not folder.is_dir():
        return Finding("data folder", Verdict.WRONG, f"{folder} does not exist", "`swarmex init` makes it")
    if not os.access(folder, os.W_OK):
        return Finding(
            "data folder", Verdict.WRONG, f"{folder} cannot be written", "become its owner, or choose another"
        )
    return Finding("data folder", Verdict.OK, str(folder))


def _disk(settings: "Settings") -> Finding:
    place = next(path for path in (settings.folder, *settings.folder.parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    found = f"{free / 1e9:.1f} GB are free"
    if free < DISK_FREE_MIN_BYTES:
        return Finding("disk", Verdict.WRONG, found, f"make room below {place}: PostgreSQL stops when it is full")
    return Finding("disk", Verdict.OK, found)


def _schema(market: "Swarmex") -> Finding:
    from backend import bootstrap

    try:
        revision, latest = market.schema_revision(), bootstrap.latest_revision()
    except Exception as error:  # of the driver: whatever it is, the database cannot be used
        told = str(error).splitlines()[0]
        return Finding("database", Verdict.WRONG, told, "check SWARMEX_DATABASE_URL, and that PostgreSQL runs there")
    if revision != latest:
        return Finding("database", Verdict.WRONG, f"{BEHIND} {revision}, not {latest}", "`swarmex init` migrates it")
    return Finding("database", Verdict.OK, f"answers, at migration {revision}")


def _manager(market: "Swarmex") -> Finding:
    manager = processes.manager_of(market.folder)
    if manager is None:
        return Finding("manager", Verdict.WRONG, "it does not run: nobody restarts agents", "`swarmex up` starts it")
    return Finding("manager", Verdict.OK, f"process {manager.pid}")


def _agents(market: "Swarmex") -> Finding:
    from backend.services import fleet

    wanted = fleet.desired(market.uow())
    missing, count = missing_members(wanted, deployment.living(market)), sum(entry.replicas for entry in wanted)
    if missing:
        logs = market.folder / "logs"
        do = f"read {logs}/{missing[0]}.log; `swarmex up` if no manager runs"
        return Finding("agents", Verdict.WRONG, f"not up: {', '.join(missing)}", do)
    return Finding("agents", Verdict.OK, f"{count} of {count} are up")


def _api() -> Finding:
    url = api_url()
    if not deployment.answers(url):
        return Finding("api", Verdict.WRONG, f"{url} is not ready", "`swarmex up` or `swarmex api` starts it")
    return Finding("api", Verdict.OK, f"ready at {url}")


def _nodes(market: "Swarmex") -> Finding:
    from backend import bootstrap
    from backend.services import nodes

    found = nodes.list_nodes(market.uow(), bootstrap.utc_now(), None)
    selling = [node for node in found if node.alive and node.ask_nano_per_slot_s is not None]
    told = f"{len(selling)} of {len(found)} are alive and have an offer"
    if not selling:
        do = "`swarmex demo` brings sample nodes; or `swarmex node register` and `swarmex offer`"
        return Finding("nodes", Verdict.NOTE, told, do)
    return Finding("nodes", Verdict.OK, told)


def _ledger(market: "Swarmex") -> Finding:
    from backend.services.audit import audit_ledger

    report = audit_ledger(market.uow())
    if not report.ok:
        do = "stop the market, `swarmex ledger audit` shows them all, restore a backup"
        return Finding("ledger", Verdict.WRONG, f"{len(report.differences)} differences", do)
    return Finding("ledger", Verdict.OK, f"all adds up, of {report.transfers:,} transfers")


def _last_audit(market: "Swarmex") -> Finding:
    from backend import bootstrap
    from backend.services import audit

    last = audit.last_run(market.uow(), audit.Mode.INCREMENTAL)
    do = "the settlement agent audits what changed every few seconds: see whether it runs"
    if last is None:
        return Finding("audit", Verdict.NOTE, "nothing was audited yet", do)
    age_s = (bootstrap.utc_now() - last.audited_at).total_seconds()
    told = f"what changed was audited {age_s:,.0f} s ago"
    if not last.ok:
        return Finding("audit", Verdict.WRONG, f"{told} and did not add up", "`swarmex ledger audit` tells what")
    return Finding("audit", Verdict.NOTE, told, do) if age_s > AUDIT_AGE_MAX_S else Finding("audit", Verdict.OK, told)


def _interrupted(market: "Swarmex") -> Iterator[Finding]:
    from backend.services import restore

    if restore.was_interrupted(market.uow()):
        do = "`swarmex restore FOLDER --replace` again ends it; nothing else may run on this database before"
        yield Finding("database", Verdict.WRONG, "a restore was interrupted: what was there before is set aside", do)
