"""What becomes of a checked request: the leased node that runs it, counted as its service or its failure."""

import time
from typing import Any

from backend.domain.errors import Unavailable
from backend.gateway.gateway import Gateway
from backend.gateway.models import ServedModel
from backend.gateway.node_client import NodeUnreachable
from backend.gateway.replies import NodeChanged, outputs_of
from backend.gateway.session import Session


async def forward(gateway: Gateway, session: Session, model: ServedModel, raw: bytes) -> list[Any]:
    """What the leased node makes of a request, counted as its service; else as its failure.

    All that it may refuse was refused before. A client that leaves is nobody's failure.
    """
    url = f"{session.endpoint}/v2/models/{model.name}/versions/{model.version}/infer"
    sent = time.perf_counter()
    try:
        outputs = outputs_of(await gateway.nodes.post(url, session.token, raw))
    except Unavailable as error:
        session.tally.failed()
        if isinstance(error, NodeUnreachable | NodeChanged):
            await gateway.sessions.lost(session)
        raise
    session.tally.served((time.perf_counter() - sent) * 1_000)
    return outputs
