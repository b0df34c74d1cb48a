"""`swarmex node external`: nodes that are an inference server of somebody else's."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli import views
from backend.cli.connection import account_named, market, node_named, operator
from backend.cli.machine_options import Accelerators, GpuMemoryMb, GpuModel, LatencyMs, MemoryMb, Residency
from backend.cli.options import AccountOption, AsJson, NodeArgument, examples, group
from backend.cli.output import emit, figures, identity, note, record, table, words
from backend.domain.errors import Invalid
from backend.domain.external_nodes import CREDENTIAL_CHARS_MAX
from backend.domain.money import parse_credits
from backend.domain.nodes import NodeSpec
from backend.domain.tiers import ResourceClass

if TYPE_CHECKING:
    from backend.services.external_nodes import Checked, ServerNode

verbs = group("Nodes that are a Triton or KServe server, registered by its URL.")
SHOWN_MODELS_MAX = 3


@verbs.command(
    epilog=examples(
        "swarmex node external add triton-1 --url http://10.0.0.5:8000 --account acme --class cloud --region eu-1"
        " --slots 16 --ask 0.002",
        "swarmex node external add kserve --url https://models.example --account acme --class cloud --region eu-1"
        " --header-file token.txt",
    )
)
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that the account's nodes do not have yet.")],
    url: Annotated[str, typer.Option(help="Where it is: http://host:port or https://host.")],
    account: Annotated[str, typer.Option("--account", metavar="ACCOUNT", help="Whose node it is: name or id.")],
    resource_class: Annotated[ResourceClass, typer.Option("--class", help="What kind of machine it is.")],
    region: Annotated[str, typer.Option(help="Where it is, as in north or eu-1.")],
    slots: Annotated[int, typer.Option(help="How many requests it serves at once.")] = 4,
    ask: Annotated[
        str | None, typer.Option(metavar="CREDITS", help="Offer the slots from this price per slot-second up.")
    ] = None,
    header_file: Annotated[
        Path | None,
        typer.Option(
            "--header-file",
            metavar="FILE",
            help="A file with its bearer token, or a whole Authorization header; - reads standard input.",
            show_default=False,
        ),
    ] = None,
    cores: Annotated[int, typer.Option(help="Processor cores, for orders that need so many.")] = 1,
    memory_mb: MemoryMb = 1_024,
    gpu_model: GpuModel = None,
    gpu_memory_mb: GpuMemoryMb = 0,
    accelerators: Accelerators = 0,
    residency: Residency = None,
    latency_ms: LatencyMs = 0,
    as_json: AsJson = False,
) -> None:
    """Register a server as a node: it sells what it serves of the registered models, while it answers.

    A model is served where name, version and signature are the same there. The agent `external` asks the server every
    second how it is, and stands for it: `swarmex up` and the manager run it.
    """
    from backend import bootstrap
    from backend.services import external_nodes

    nano = None if ask is None else parse_credits(ask, "ask")
    credential = None if header_file is None else _read(header_file)
    spec = NodeSpec(
        name=name,
        resource_class=resource_class.value,
        region=region,
        slots=slots,
        cores=cores,
        memory_mb=memory_mb,
        gpu_model=gpu_model,
        gpu_memory_mb=gpu_memory_mb,
        accelerators=accelerators,
        residency=residency,
        latency_ms=latency_ms,
    )
    with market() as wired:
        owner = account_named(wired, account)
        now = bootstrap.utc_now()
        made = external_nodes.add_server(wired.uow(), now, owner.id, spec, url, credential, nano)
        checked = external_nodes.check_server(wired.uow(), now, made.node.id, operator())
    document = _document(made)
    emit(as_json, document, record(_facts(document)))
    if not as_json:
        _note_next(checked, has_ask=nano is not None)


@verbs.command(
    "list", epilog=examples("swarmex node external list", "swarmex node external list --account acme --json")
)
def list_servers(account: AccountOption = None, as_json: AsJson = False) -> None:
    """List servers with how they were found last, and what they serve."""
    from backend import bootstrap
    from backend.services import external_nodes

    with market() as wired:
        owner = account_named(wired, account).id if account else None
        found = external_nodes.list_servers(wired.uow(), bootstrap.utc_now(), owner)
    documents = [_document(one) for one in found]
    columns = [
        *(identity("Node"), words("Name"), words("URL"), words("Market"), words("State"), words("Models")),
        *(figures("Free"), figures("Ask"), words("Why")),
    ]
    rows = [
        (
            d["node"]["id"],
            d["node"]["name"],
            d["url"],
            f"{d['node']['resource_class']}/{d['node']['region']}",
            _state(d),
            _models(d["models"]),
            f"{d['node']['slots'] - d['node']['busy_slots']}/{d['node']['slots']}",
            d["node"]["ask"],
            d["told"],
        )
        for d in documents
    ]
    emit(as_json, documents, table(columns, rows))
    if found and not as_json and all(d["state"] == "new" for d in documents):
        note("Nobody has asked them yet: `swarmex up`, or `python -m agents external`, stands for them.")


@verbs.command(
    epilog=examples(
        "swarmex node external check triton-1", "swarmex node external check triton-1 --account acme --json"
    )
)
def check(node: NodeArgument, account: AccountOption = None, as_json: AsJson = False) -> None:
    """Ask a server now, from this machine, whether it is ready and which models it serves; nothing is changed."""
    from backend import bootstrap
    from backend.services import external_nodes

    with market() as wired:
        found = node_named(wired, node, account)
        checked = external_nodes.check_server(wired.uow(), bootstrap.utc_now(), found.id, operator())
    document = {
        "node": checked.node.id,
        "url": checked.server.url,
        "ready": checked.why_down is None,
        "why_not_ready": checked.why_down,
        "models": [{"model": fit.name, "version": fit.version, "why_not": fit.why_not} for fit in checked.fits],
    }
    rows = [(fit.name, fit.version, "no" if fit.why_not else "yes", fit.why_not) for fit in checked.fits]
    columns = [words("Model"), figures("Version"), words("Served"), words("Why not")]
    emit(as_json, document, table(columns, rows, title=f"{checked.node.name}: {checked.why_down or 'ready'}"))
    if not as_json:
        _note_next(checked, has_ask=checked.node.ask_nano_per_slot_s is not None)


@verbs.command(epilog=examples("swarmex node external remove triton-1"))
def remove(node: NodeArgument, account: AccountOption = None, as_json: AsJson = False) -> None:
    """Let a node be a server no more: its offer is withdrawn, what it has runs elsewhere, its credential is forgotten.

    The node stays in the books; `swarmex node external add` with its name, class, region and slots brings it back.
    """
    from backend import bootstrap
    from backend.services import external_nodes

    with market() as wired:
        found = node_named(wired, node, account)
        document = views.node(external_nodes.remove_server(wired.uow(), bootstrap.utc_now(), found.id, operator()))
    emit(as_json, document, record(document))


def _read(path: Path) -> str:
    """What is in a file with a credential, or on standard input; raises Invalid."""
    try:
        if str(path) == "-":
            return typer.get_text_stream("stdin").read(CREDENTIAL_CHARS_MAX + 1)
        with path.open() as file:
            return file.read(CREDENTIAL_CHARS_MAX + 100)
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(
            f"{path} cannot be read: {error}",
            code="invalid_credential",
            field="header_file",
            accepted="a file with a bearer token or an Authorization header",
        ) from None


def _document(found: "ServerNode") -> dict[str, Any]:
    return {
        "node": views.node(found.node),
        "url": found.server.url,
        "has_credential": found.server.credential is not None,
        "state": str(found.server.state),
        "told": found.server.told,
        "checked_at": found.server.checked_at,
        "models": list(found.server.models),
    }


def _facts(document: dict[str, Any]) -> dict[str, Any]:
    node = document["node"]
    return {
        **{name: node[name] for name in ("id", "name", "account", "resource_class", "region", "slots", "ask")},
        "url": document["url"],
        "credential": "kept, never shown" if document["has_credential"] else "none",
    }


def _state(document: dict[str, Any]) -> str:
    """As the adapter found it; online only while somebody stands for it."""
    if document["state"] == "up" and not document["node"]["alive"]:
        return "up, no agent"
    return str(document["state"])


def _models(models: list[str]) -> str:
    shown = ", ".join(models[:SHOWN_MODELS_MAX])
    return f"{shown}, … ({len(models)})" if len(models) > SHOWN_MODELS_MAX else shown


def _note_next(checked: "Checked", *, has_ask: bool) -> None:
    """What to do for it to sell."""
    name = checked.node.name
    if checked.why_down is not None:
        note(f"It is not ready, seen from here: {checked.why_down}. It sells nothing until it is.")
    elif all(fit.why_not for fit in checked.fits):
        note(
            f"It serves none of the {len(checked.fits)} registered models: `swarmex node external check {name}` says"
            " why; `swarmex model register` a model under its name and version there."
        )
    if not has_ask:
        note(f"Next: `swarmex offer {name} CREDITS`.")
