"""`order place --private`: the requests are sealed here, before the market gets to see anything of the order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.domain.errors import SwarmexError, Unavailable
from backend.domain.orders import WorkloadRequest
from backend.domain.private_envelope import RECIPIENTS_MAX
from backend.domain.sealing_keys import plain_fingerprint
from backend.domain.tensors import Signature, parse_request, rows_of

if TYPE_CHECKING:
    from backend.bootstrap import Swarmex
    from backend.domain.private_sealing import ReplyKeys
    from backend.services.orders import PlacedWorkload

ACCEPTED = "`swarmex node sealing-key list` shows keys; `swarmex node sealing-key verify` lets one serve"

PrivateOption = Annotated[
    bool, typer.Option("--private", help="Seal it: only nodes with a verified key read it, only you the answers.")
]
PrivateToOption = Annotated[
    list[str] | None,
    typer.Option(
        "--private-to",
        metavar="FINGERPRINT",
        help="Seal it to the node's key with this fingerprint, and to no other; as often as needed.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Ready:
    """A request to place; with `keys`, it is sealed, and they open its answers."""

    request: WorkloadRequest
    keys: "ReplyKeys | None" = None

    def place(self, wired: "Swarmex", place: Callable[[WorkloadRequest], "PlacedWorkload"]) -> "PlacedWorkload":
        """What `place` makes of the request; what opens the answers is kept before that."""
        if self.keys is None:
            return place(self.request)
        from backend.cli.reply_keys import ReplyFolder

        folder = ReplyFolder(wired.settings.folder)
        kept = folder.keep(self.keys)
        try:
            placed = place(self.request)
        except SwarmexError as error:
            if not isinstance(error, Unavailable):  # of that nobody knows whether it was placed all the same
                kept.unlink()
            raise
        folder.name(kept, placed.orders[0].id)
        return placed


def ready(wired: "Swarmex", request: WorkloadRequest, private: bool, fingerprints: Sequence[str]) -> Ready:
    """The request as it is or, where that is asked for, sealed to verified keys of nodes that can serve it now.

    Those with these fingerprints or, without any, all; of more than RECIPIENTS_MAX the first, by name. Raises
    Unavailable(`no_verified_key`) for none.
    """
    if not (private or fingerprints):
        return Ready(request)
    from backend import bootstrap
    from backend.domain.private_sealing import SealedModel, seal_order
    from backend.services import sealing_keys

    found = sealing_keys.serving(
        wired.uow(), bootstrap.utc_now(), request.model, request.model_version, request.tier, request.region
    )
    wanted = {plain_fingerprint(text) for text in fingerprints}
    keys = [key for key in found.keys if not wanted or key.fingerprint in wanted]
    if missing := sorted(wanted - {key.fingerprint for key in keys}):
        raise _none(f"no node that could serve this has the verified key {missing[0]}", "private_to")
    if not keys:
        raise _none("no node that could serve this has a verified key", "private")
    model = SealedModel(found.model.name, found.model.version, found.model.checksum)
    bodies = [_packed(request, index, found.model.signature) for index in range(len(request.requests))]
    envelope, reply = seal_order(bodies, model, {key.id: key.public for key in keys[:RECIPIENTS_MAX]})
    return Ready(replace(request, requests=(), private=envelope, model=model.name, model_version=model.version), reply)


def readable(wired: "Swarmex", order_id: Any, results: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """The results of a private order as far as they can be opened here, and what is to be said of the others."""
    from backend.cli.reply_keys import ReplyFolder, opened

    return opened(ReplyFolder(wired.settings.folder), order_id, results)


def _packed(request: WorkloadRequest, index: int, signature: Signature) -> tuple[bytes, int]:
    import orjson

    body = request.requests[index]
    try:
        rows = rows_of(parse_request(body, signature), signature)
    except SwarmexError as error:
        if len(request.requests) > 1:
            error.field = f"requests[{index}].{error.field}"
        raise
    return orjson.dumps({"inputs": body["inputs"]}), rows


def _none(message: str, field: str) -> Unavailable:
    return Unavailable(message, code="no_verified_key", field=field, accepted=ACCEPTED)
