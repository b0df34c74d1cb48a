"""Machines of other people: the tokens that let them in, the keys that they keep, and the join itself."""

import os
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from backend.cli import joining_client as client
from backend.cli.connection import account_named, market, node_named, operator, parse_id_of
from backend.cli.hardware import probe
from backend.cli.options import AccountOption, AsJson, NodeArgument, examples, group
from backend.cli.output import emit, figures, identity, note, record, table, words
from backend.domain.errors import Conflict, Invalid
from backend.domain.joining import TokenWish, parse_life
from backend.domain.money import format_credits, parse_credits
from backend.domain.nodes import check_name
from backend.domain.tiers import ResourceClass

tokens = group("Tokens with which machines of other people join.")
keys = group("Keys of machines that have joined.")
JOIN_EXAMPLES = examples(
    "swarmex node join https://market.example --token swj_... --ask 0.002",
    "swarmex node join   # goes on as the node that this folder is",
    "SWARMEX_DATA_FOLDER=~/attic swarmex node join https://market.example --token swj_... --name attic --slots 2",
)


@tokens.command(
    epilog=examples(
        "swarmex node token create --account acme --class fog --region north",
        "swarmex node token create --account acme --class cloud --region eu-1 --slots-max 8 --name attic --expires 15m",
        "swarmex node token create --node attic   # after `swarmex node key revoke attic`",
    )
)
def create(
    account: AccountOption = None,
    resource_class: Annotated[
        ResourceClass | None, typer.Option("--class", help="What kind of machine it will be.", show_default=False)
    ] = None,
    region: Annotated[str | None, typer.Option(help="Where it will be, as in eu-1.", show_default=False)] = None,
    slots_max: Annotated[int, typer.Option(help="How many slots it may have.")] = 1,
    name: Annotated[
        str | None, typer.Option(help="What it will be called; else it says so itself.", show_default=False)
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(metavar="NODE", help="Go on as this node, whose key was lost or revoked.", show_default=False),
    ] = None,
    expires: Annotated[str, typer.Option(metavar="SPAN", help="How long it can be used, as in 15m, 2h or 3d.")] = "1h",
    as_json: AsJson = False,
) -> None:
    """Make a token with which one machine may join, once; it is shown this once and kept nowhere.

    For a new node say --account, --class and --region; for one that joined before, --node.
    """
    from backend import bootstrap
    from backend.services import joining

    life = parse_life(expires)
    with market() as wired:
        if node is not None:
            found = node_named(wired, node, account)
            made = joining.create_token_for(wired.uow(), bootstrap.utc_now(), found.id, life, operator())
        else:
            owner_name, kind, place = _said(account, resource_class, region)
            owner = account_named(wired, owner_name)
            wish = TokenWish(kind.value, place, slots_max, name, life)
            made = joining.create_token(wired.uow(), bootstrap.utc_now(), owner.id, wish)
    document = _document(made.token) | {"secret": made.secret}
    emit(as_json, document, record(document))
    if not as_json:
        note(f"Next, on the machine: `swarmex node join URL --token {made.secret} --ask CREDITS`.")


@tokens.command("list", epilog=examples("swarmex node token list", "swarmex node token list --account acme --json"))
def list_tokens(account: AccountOption = None, as_json: AsJson = False) -> None:
    """List tokens that can still be used; their secrets are not known any more."""
    from backend import bootstrap
    from backend.services import joining

    with market() as wired:
        owner = account_named(wired, account).id if account else None
        found = joining.list_tokens(wired.uow(), bootstrap.utc_now(), owner)
    documents = [_document(token) for token in found]
    columns = [identity("Token"), words("Name"), words("Market"), figures("Slots"), words("Expires")]
    rows = [
        (d["id"], d["name"], f"{d['resource_class']}/{d['region']}", d["slots_max"], d["expires_at"]) for d in documents
    ]
    emit(as_json, documents, table(columns, rows))


@tokens.command("revoke", epilog=examples("swarmex node token revoke 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"))
def revoke_token(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Id of a token, not its secret.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Let a token that nobody used yet open nothing; a machine that has joined keeps its key."""
    from backend import bootstrap
    from backend.services import joining

    token_id = parse_id_of("join_token", token)
    with market() as wired:
        joining.revoke_token(wired.uow(), bootstrap.utc_now(), token_id, operator())
    document = {"token": token_id, "revoked": True}
    emit(as_json, document, record(document))


@keys.command(epilog=examples("swarmex node key revoke attic", "swarmex node key revoke attic --account acme --json"))
def revoke(node: NodeArgument, account: AccountOption = None, as_json: AsJson = False) -> None:
    """End the keys of a machine that joined; within half a second they open nothing, and its offer is withdrawn."""
    from backend import bootstrap
    from backend.services import joining

    with market() as wired:
        found = node_named(wired, node, account)
        revoked = joining.revoke_node_keys(wired.uow(), bootstrap.utc_now(), found.id, operator())
    document = {"node": found.id, "revoked": revoked}
    emit(as_json, document, record(document))


def join(
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="The market; the one joined before unless told.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="SWARMEX_JOIN_TOKEN", help="What `node token create` printed.", show_default=False),
    ] = None,
    ask: Annotated[
        str | None, typer.Option(metavar="CREDITS", help="Offer the slots from this price per slot-second up.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the node is called; this machine's name unless told.")] = None,
    slots: Annotated[
        int | None, typer.Option(help="How many items it runs at once; as many as cores, if the token allows.")
    ] = None,
    residency: Annotated[
        str | None, typer.Option(help="The jurisdiction that its data stays in, as in de.", show_default=False)
    ] = None,
    latency_ms: Annotated[int, typer.Option(metavar="MS", help="How far it is from its region's users.")] = 0,
    leave: Annotated[bool, typer.Option("--leave", help="Withdraw the offer when it ends.")] = False,
    run: Annotated[bool, typer.Option("--run/--no-run", help="Work in the foreground until Ctrl-C.")] = True,
    as_json: AsJson = False,
) -> None:
    """Join a market with this machine and work for it, from behind any NAT; needs no servers here.

    The node's key is kept in the data folder: run again, it goes on as the same node. Ctrl-C finishes or hands back
    what is running.
    """
    from backend import bootstrap

    stated = None if ask is None else format_credits(parse_credits(ask, "ask"))
    settings = bootstrap.settings()
    path = settings.folder / client.NODE_FILE
    member = client.Membership.kept(path)
    is_new = member is None
    if member is None:
        member, node = _joined(url, token, _machine(name, slots, residency, latency_ms))
        member.keep(path)
        note(f"Joined as node {member.name}; its key is in {path}.")
    else:
        _check_same(member, url, path)
        client.report_hardware(member, asdict(probe()))
        node = client.node_of(member)
        note(f"Going on as node {member.name}, by the key in {path}.")
    if client.is_exposed(member.url):
        note("The connection is not encrypted: whoever listens can take the node's key. Use https.")
    if slots is not None and slots != node["slots"]:
        cut = is_new and slots > node["slots"]
        why = "its token allows no more" if cut else "as many as it has had since it joined"
        note(f"It has {node['slots']} slots, not {slots}: {why}.")
    if stated is not None:
        client.offer(member, stated)
        node["ask"] = stated
    elif node.get("ask") is None:
        note("It has no offer, so it gets no work: `swarmex node join --ask CREDITS` makes one.")
    document = {"node": node, "file": str(path), "url": member.url}
    emit(as_json, document, record({**node, "file": str(path), "url": member.url}))
    if run:
        sys.stdout.flush()
        program = [sys.executable, "-m", "agents.inference.remote", str(path), *(["--leave"] if leave else [])]
        os.execv(sys.executable, program)  # noqa: S606  # this very interpreter, no shell


def _said(
    account: str | None, resource_class: ResourceClass | None, region: str | None
) -> tuple[str, ResourceClass, str]:
    """What a new node needs; raises Invalid(`missing_field`) for what was not said."""
    if account is None or resource_class is None or region is None:
        missing = next(
            name
            for name, value in (("account", account), ("class", resource_class), ("region", region))
            if value is None
        )
        raise Invalid(f"--{missing} is missing", code="missing_field", field=missing, accepted="a value, or --node")
    return account, resource_class, region


def _joined(url: str | None, token: str | None, machine: dict[str, Any]) -> tuple[client.Membership, dict[str, Any]]:
    if url is None or token is None:
        raise Invalid(
            "this machine has not joined a market yet",
            code="not_joined",
            field="token" if url else "url",
            accepted="swarmex node join URL --token TOKEN",
        )
    return client.join(url, token, machine)


def _check_same(member: client.Membership, url: str | None, path: object) -> None:
    if url is not None and url.rstrip("/") != member.url.rstrip("/"):
        raise Conflict(
            f"this folder is node {member.name} of {member.url}",
            code="already_joined",
            field="SWARMEX_DATA_FOLDER",
            accepted=f"another folder, or this one without {path}",
        )


def _machine(name: str | None, slots: int | None, residency: str | None, latency_ms: int) -> dict[str, Any]:
    found = asdict(probe())
    machine = {
        "name": check_name(name) if name else _own_name(),
        "slots": found["cores"] if slots is None else slots,
        "residency": residency,
        "latency_ms": latency_ms,
        **found,
    }
    return {key: value for key, value in machine.items() if value is not None}


def _own_name() -> str:
    """This machine's name, as far as a node may be called so."""
    import re
    import socket

    return re.sub(r"[^a-z0-9._-]+", "-", socket.gethostname().lower())[:63].lstrip("._-") or "node"


def _document(token: Any) -> dict[str, Any]:
    return {
        "id": token.id,
        "account": token.account_id,
        "name": token.name,
        "resource_class": token.resource_class,
        "region": token.region,
        "slots_max": token.slots_max,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
    }
