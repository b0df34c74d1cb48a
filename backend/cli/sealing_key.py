"""Keys that private orders are sealed to: whose they are, and which of them may serve."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.connection import account_named, market, node_named, operator, parse_id, quiet_logs
from backend.cli.options import AccountOption, AsJson, examples, group
from backend.cli.output import emit, identity, note, record, table, words
from backend.domain.errors import Conflict, NotFound
from backend.domain.ids import NodeId, SealingKeyId
from backend.domain.sealing_keys import KeyState, fingerprint

if TYPE_CHECKING:
    from backend.bootstrap import Swarmex
    from backend.domain.sealing_keys import SealingKey

verbs = group("Keys that private orders are sealed to; an operator vouches for each.")
KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="Id of a key, or name or id of a node that has one.", show_default=False)
]


@verbs.command(
    "list", epilog=examples("swarmex node sealing-key list", "swarmex node sealing-key list --account acme --ended")
)
def list_keys(
    account: AccountOption = None,
    ended: Annotated[bool, typer.Option("--ended", help="Also keys that were replaced or revoked.")] = False,
    as_json: AsJson = False,
) -> None:
    """List keys of nodes with their fingerprints; verified ones serve."""
    from backend.services import sealing_keys

    with market() as wired:
        owner = account_named(wired, account).id if account else None
        documents = [_document(key) for key in sealing_keys.list_keys(wired.uow(), owner, ended=ended)]
    columns = [identity("Key"), words("Node"), words("State"), words("Fingerprint")]
    emit(
        as_json, documents, table(columns, [(d["id"], d["node_name"], d["state"], d["fingerprint"]) for d in documents])
    )


@verbs.command(epilog=examples("swarmex node sealing-key show attic"))
def show(key: KeyArgument, as_json: AsJson = False) -> None:
    """Show a key: its fingerprint, its state, and since when."""
    with market() as wired:
        document = _document(_named(wired, key))
    emit(as_json, document, record(document))


@verbs.command(
    epilog=examples("swarmex node sealing-key verify attic --fingerprint 8f3a-01bc-77d2-9e10-5b6c-aa31-0f4e-c2d8")
)
def verify(
    key: KeyArgument,
    stated: Annotated[
        str,
        typer.Option(
            "--fingerprint",
            metavar="TEXT",
            help="What the node's owner told you, by another way than this market: `swarmex node sealing-key mine`.",
            show_default=False,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Let a proven key serve private orders; the node's verified key until now is replaced.

    Whoever places a private order trusts you to have compared the fingerprints: do not copy it from `list`.
    """
    from backend import bootstrap
    from backend.services import sealing_keys

    with market() as wired:
        found = _named(wired, key, KeyState.PROVEN)
        document = _document(sealing_keys.verify(wired.uow(), bootstrap.utc_now(), operator(), found.id, stated))
    emit(as_json, document, record(document))


@verbs.command(epilog=examples("swarmex node sealing-key revoke attic"))
def revoke(key: KeyArgument, as_json: AsJson = False) -> None:
    """End a key at once: its node is given nothing more that is sealed to it.

    Orders that are sealed to other keys as well go on there; the others end, charged for what ran.
    """
    from backend import bootstrap
    from backend.services import sealing_keys

    with market() as wired:
        found = _named(wired, key, KeyState.VERIFIED)
        document = _document(sealing_keys.revoke(wired.uow(), bootstrap.utc_now(), operator(), found.id))
    emit(as_json, document, record(document))


@verbs.command(
    epilog=examples("swarmex node sealing-key mine", "SWARMEX_DATA_FOLDER=~/attic swarmex node sealing-key mine")
)
def mine(as_json: AsJson = False) -> None:
    """Show the fingerprints of the keys in this folder, to be told to the market's operator; asks no market."""
    from backend import bootstrap
    from backend.domain.private_sealing import KeyPair
    from backend.storage.key_folder import KeyFolder

    settings = bootstrap.settings()
    quiet_logs(settings)
    folder = KeyFolder(settings.sealing)
    secrets = {node_id: folder.secret(node_id) for node_id in folder.nodes()}
    documents = [
        {"node": node_id, "fingerprint": fingerprint(KeyPair.of(secret).public)}
        for node_id, secret in secrets.items()
        if secret is not None
    ]
    emit(
        as_json,
        documents,
        table([identity("Node"), words("Fingerprint")], [(d["node"], d["fingerprint"]) for d in documents]),
    )
    if not documents and not as_json:
        note(f"There is none in {settings.sealing}: an agent makes it when it runs first.")


def _named(wired: "Swarmex", text: str, wanted: KeyState | None = None) -> "SealingKey":
    """The key of that id, or the one of a node: in the state that is wanted if it has such a one, else its newest."""
    from backend.services import sealing_keys

    if (found := parse_id(text)) is not None and (key := _of_id(wired, SealingKeyId(found))) is not None:
        return key
    node = node_named(wired, text)
    keys = sealing_keys.list_keys(wired.uow(), None, NodeId(node.id))
    if not keys:
        raise NotFound("sealing key", f"of node {node.name}", accepted="a node whose agent runs, and has shown its key")
    chosen = [key for key in keys if key.state is wanted] or keys[:1]
    if len(chosen) > 1:
        raise Conflict(
            f"node {node.name} has {len(chosen)} {wanted} keys",
            code="ambiguous_sealing_key",
            field="key",
            accepted=", ".join(str(key.id) for key in chosen),
        )
    return chosen[0]


def _of_id(wired: "Swarmex", key_id: SealingKeyId) -> "SealingKey | None":
    from backend.services import sealing_keys

    try:
        return sealing_keys.find_key(wired.uow(), key_id)
    except NotFound:
        return None


def _document(key: "SealingKey") -> dict[str, Any]:
    return {
        "id": key.id,
        "node": key.node_id,
        "node_name": key.node_name,
        "fingerprint": key.fingerprint,
        "state": key.state,
        "created_at": key.created_at,
        "seen_at": key.seen_at,
        "proven_at": key.proven_at,
        "verified_at": key.verified_at,
        "ended_at": key.ended_at,
    }
