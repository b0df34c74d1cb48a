"""Windows of promised service."""

from typing import Annotated, Any

import typer

from backend.cli.connection import account_named, market, operator, parse_id_of
from backend.cli.options import AccountOption, AsJson, examples, group
from backend.cli.output import emit, figures, identity, record, table, words
from backend.domain.ids import SlaWindowId
from backend.domain.money import format_credits
from backend.domain.percent import format_percent
from backend.domain.sla import SlaState, SlaWindow

verbs = group("SLAs: what was measured of promised service, and what was credited where it fell short.")


@verbs.command("list", epilog=examples("swarmex sla list --state open", "swarmex sla list --account acme --json"))
def list_windows(
    account: AccountOption = None,
    state: Annotated[SlaState | None, typer.Option(help="Only windows in this state.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List windows that were bought or served by an account, or all, the newest first."""
    from backend.services import sla

    with market() as wired:
        party = account_named(wired, account).id if account else None
        found = sla.list_windows(wired.uow(), party, state.value if state else None, limit)
    documents = [_document(window) for window in found]
    columns = [
        identity("Window"),
        words("Tier"),
        words("State"),
        *(figures(name) for name in ("Requests", "p95 ms", "Uptime %", "Withheld", "Credit")),
    ]
    shown = ("id", "tier", "state", "requests", "latency_ms_p95", "uptime_ppm", "withheld", "credit")
    rows = [[percent(d[name]) if name == "uptime_ppm" else d[name] for name in shown] for d in documents]
    emit(as_json, documents, table(columns, rows))


@verbs.command(epilog=examples("swarmex sla show 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"))
def show(
    window: Annotated[str, typer.Argument(metavar="WINDOW", help="Id of a window.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show a window: who was served by whom, what was measured, withheld and paid."""
    from backend.services import sla

    with market() as wired:
        found = sla.show_window(wired.uow(), SlaWindowId(parse_id_of("window", window)), operator())
    document = _document(found)
    shares = {name: percent(document[f"{name}_ppm"]) for name in ("uptime", "credit")}
    facts = {name: fact for name, fact in document.items() if not name.endswith("_ppm")}
    emit(as_json, document, record(facts | {f"{name} %": share for name, share in shares.items()}))


def percent(ppm: int | None) -> str | None:
    """A share of parts per million as people read it, where there is one."""
    return None if ppm is None else format_percent(ppm)


def _document(window: SlaWindow) -> dict[str, Any]:
    """A window, as in the HTTP API."""
    measured = window.measured
    return {
        "id": window.id,
        "account": window.account_id,
        "provider": window.provider_id,
        "tier": window.tier,
        "state": window.state,
        "opened_at": window.opened_at,
        "closed_at": window.closed_at,
        "requests": measured.requests,
        "failures": measured.failures,
        "latency_ms_p95": measured.latency_ms_p95,
        "uptime_ppm": measured.uptime_ppm,
        "charged": format_credits(window.charged_nano),
        "withheld": format_credits(window.withheld_nano),
        "credit_ppm": window.credit_ppm,
        "owed": format_credits(window.owed_nano),
        "credit": format_credits(window.credit_nano),
    }
