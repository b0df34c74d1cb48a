"""What a clearing decided has one digest, whoever computes it."""

import hashlib
import json

from backend.domain.auctions import Fill
from backend.domain.ids import NodeId, OfferId, OrderId
from backend.services.epochs import fills_digest
from backend.storage.ids import new_id


def test_the_digest_is_that_of_the_trades_as_ordinary_json() -> None:
    fills = [
        Fill(OrderId(new_id()), OfferId(new_id()), NodeId(new_id()), slots, 10**18 + slots, 3) for slots in (1, 2, 3)
    ]
    rows = [[str(f.order_id), str(f.offer_id), str(f.node_id), f.slots, f.pays_nano, f.earns_nano] for f in fills]
    assert fills_digest(fills) == hashlib.sha256(json.dumps(rows).encode()).digest()
    assert fills_digest([]) == hashlib.sha256(b"[]").digest()
