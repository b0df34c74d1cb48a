"""Alerts: incidents that operators should know of, and the webhook that tells them."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from backend.cli.connection import market, operator, parse_id_of
from backend.cli.live import check_watch, keep_showing
from backend.cli.options import AsJson, examples, group
from backend.cli.output import emit, identity, record, table, words
from backend.domain.errors import Unavailable
from backend.domain.ids import IncidentId
from backend.domain.incidents import IncidentKind, IncidentState, Severity

if TYPE_CHECKING:
    from backend.services.incidents import Shown

verbs = group("Alerts: what is wrong with agents, queues, nodes, books and promises, and who is told of it.")

Incident = Annotated[
    str, typer.Argument(metavar="INCIDENT", help="The id that `alerts list` shows.", show_default=False)
]


@verbs.command(
    "list",
    epilog=examples(
        "swarmex alerts list",
        "swarmex alerts list --all --kind node_lost --json",
        "swarmex alerts list --severity critical --watch",
    ),
)
def list_alerts(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are over, of the last 90 days.")] = False,
    kind: Annotated[IncidentKind | None, typer.Option(help="Only of this kind.", show_default=False)] = None,
    severity: Annotated[Severity | None, typer.Option(help="Only these.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every second, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """List incidents that go on, the newest first."""
    from backend.services import incidents

    check_watch(watch, as_json)
    state = None if everything else IncidentState.OPEN.value
    with market() as wired:

        def look() -> list[dict[str, Any]]:
            found = incidents.list_incidents(
                wired.uow(), state, kind.value if kind else None, severity.value if severity else None, limit
            )
            return [incident.document() for incident in found]

        if watch:
            keep_showing(lambda: _table(look()))
        documents = look()
        emit(as_json, documents, _table(documents))


@verbs.command(epilog=examples("swarmex alerts show 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"))
def show(incident: Incident, as_json: AsJson = False) -> None:
    """Show an incident: what was found, since when, and whether the webhook took it."""
    from backend.services import incidents

    with market() as wired:
        shown = incidents.show_incident(wired.uow(), IncidentId(parse_id_of("incident", incident)))
    document = _document(shown)
    told = "; ".join(_told(delivery) for delivery in document["deliveries"])
    emit(as_json, document, record({**document, "deliveries": told or None}))


@verbs.command(epilog=examples("swarmex alerts ack 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"))
def ack(incident: Incident, as_json: AsJson = False) -> None:
    """Say that you look into an incident; the audit log keeps it."""
    from backend import bootstrap
    from backend.services import incidents

    with market() as wired:
        wanted = IncidentId(parse_id_of("incident", incident))
        document = incidents.acknowledge(wired.uow(), bootstrap.utc_now(), operator(), wanted).document()
    emit(as_json, document, record(document))


@verbs.command("test", epilog=examples("SWARMEX_ALERT_WEBHOOK=https://example.org/hook swarmex alerts test"))
def try_webhook(as_json: AsJson = False) -> None:
    """Send the webhook one incident that is none, now, and tell what it answered."""
    from backend import bootstrap
    from backend.services import notifying

    with market() as wired:
        if wired.webhook is None:
            raise Unavailable(
                "nobody is told of incidents",
                code="no_webhook",
                field="SWARMEX_ALERT_WEBHOOK",
                accepted="an http or https URL, in the environment of this command and of `swarmex up`",
            )
        outcome = notifying.send_test(wired.uow(), bootstrap.utc_now(), operator(), wired.webhook.send)
    if not outcome.taken:
        raise Unavailable(
            f"the webhook did not take it: {outcome.error}",
            code="webhook_failed",
            field="SWARMEX_ALERT_WEBHOOK",
            accepted="an address that answers POST with 200 to 299 within 5 s; redirects are not followed",
        )
    document = {"taken": True, "status": outcome.status}
    emit(as_json, document, record(document))


def _table(documents: list[dict[str, Any]]) -> Table:
    columns = [identity("Incident"), *map(words, ("Kind", "Severity", "State", "Since", "Acknowledged", "What"))]
    shown = ("id", "kind", "severity", "state", "opened_at", "acknowledged_at", "summary")
    return table(columns, [[document[name] for name in shown] for document in documents])


def _document(shown: "Shown") -> dict[str, Any]:
    """An incident with its deliveries, as in the HTTP API."""
    names = ("id", "attempts", "due_at", "done_at", "status", "error")
    deliveries = [
        {"event": str(delivery.event), **{name: getattr(delivery, name) for name in names}}
        for delivery in shown.deliveries
    ]
    return {**shown.incident.document(), "deliveries": deliveries}


def _told(delivery: dict[str, Any]) -> str:
    if delivery["done_at"] is None:
        how = f"not taken yet, {delivery['error']}" if delivery["error"] else "not sent yet"
    else:
        how = f"given up, {delivery['error']}" if delivery["error"] else "taken"
    return f"{delivery['event']}: {how} ({delivery['attempts']} attempts)"
