"""Private orders when they are placed: whom they may go to, and what of them the market can check."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from backend.domain.errors import Invalid
from backend.domain.ids import NodeId, SealingKeyId
from backend.domain.machines import Needs, check_needs
from backend.domain.orders import WorkloadRequest
from backend.domain.private_envelope import item_inputs
from backend.domain.sealing_keys import SealingKey, addressed
from backend.storage.unit_of_work import UnitOfWork

Keys = Mapping[SealingKeyId, SealingKey]


def keys_for(uow: UnitOfWork, requests: Sequence[WorkloadRequest]) -> Keys:
    """The keys that these requests are sealed to, as they are now; no statement for requests that are not private."""
    ids = {one.key_id for request in requests if request.private for one in request.private.recipients}
    return uow.sealing_keys.known(ids) if ids else {}


def confined(request: WorkloadRequest, keys: Keys) -> WorkloadRequest:
    """A private request that needs the nodes that it is sealed to; any other as it is. Raises what is wrong with it."""
    if request.private is None:
        return request
    if request.requests:
        raise Invalid(
            "a private order has no requests that others can read",
            code="private_and_plain",
            field="requests",
            accepted="requests left out, or private left out",
        )
    if request.model_version is None:
        raise Invalid(
            "a private order names the version that it is sealed for",
            code="missing_model_version",
            field="model_version",
            accepted="what `GET /api/v1/sealing-keys` told",
        )
    return replace(request, needs=_only(request.needs, set(addressed(request.private, keys).values())))


def sealed_inputs(request: WorkloadRequest, keys: Keys) -> list[tuple[int, bytes]]:
    """Rows, as its sender states them, and inputs of each item of a private request that was `confined`."""
    envelope = request.private
    assert envelope is not None
    nodes = {one.key_id: keys[one.key_id].node_id for one in envelope.recipients}
    return [(item.rows, item_inputs(envelope, nodes, index)) for index, item in enumerate(envelope.items)]


def _only(needs: Needs, sealed_to: set[NodeId]) -> Needs:
    nodes = sealed_to.intersection(needs.only) if needs.only else sealed_to
    nodes -= set(needs.never)
    if not nodes:
        raise Invalid(
            "the order is sealed to none of the nodes that it may go to",
            code="contradictory_needs",
            field="needs.only",
            accepted="nodes whose keys are among private.recipients",
        )
    return check_needs(replace(needs, only=tuple(nodes), never=()))
