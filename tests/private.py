"""Private orders for tests: keys that an operator verified, requests sealed to them, and a search for what leaks."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from redis import Redis
from sqlalchemy import Engine, text

from agents.inference.sealing_keys import KeyRing
from backend.bootstrap import utc_now
from backend.domain.access import Principal, Role
from backend.domain.ids import AccountId, NodeId, OrderId
from backend.domain.private_envelope import Envelope, encoded, sealed_in
from backend.domain.private_sealing import ReplyKeys, SealedModel, open_answer, seal_order
from backend.domain.sealing_keys import KeyState, SealingKey
from backend.services import receipts, sealing_keys
from tests.market import Market

ADMIN = Principal(None, AccountId(UUID(int=0)), Role.ADMIN)
MARKER = 31337.125  # a value that nothing else has, and that FP32 has exactly
MARKS = (b"31337", b"62674.25")  # of what is asked, and of what is answered


def body(*rows: Sequence[float]) -> dict[str, Any]:
    """A request to the doubling model."""
    data = [value for row in rows for value in row]
    return {"inputs": [{"name": "x", "shape": [len(rows), 2], "datatype": "FP32", "data": data}]}


SECRET_BODY = body((MARKER, 2.0))


def keys_of(market: Market, node_id: NodeId, *, ended: bool = False) -> list[SealingKey]:
    """A node's keys, the newest first."""
    return sealing_keys.list_keys(market.app.uow(), None, node_id, ended=ended)


def proven(market: Market, ring: KeyRing, node_id: NodeId) -> SealingKey:
    """The key of a node, once its agent has proven it."""
    for _ in range(4):
        ring._shown_at_s = float("-inf")  # at once, not when it is time
        ring.refresh()
        sealing_keys.issue_challenges(market.app.uow(), utc_now())
        if (found := keys_of(market, node_id)) and found[0].state is not KeyState.REGISTERED:
            return found[0]
    raise AssertionError("it was not proven")


def verified(market: Market, ring: KeyRing, node_id: NodeId) -> SealingKey:
    """The same, vouched for by an operator."""
    key = proven(market, ring, node_id)
    return sealing_keys.verify(market.app.uow(), utc_now(), ADMIN, key.id, key.fingerprint)


def model_of(market: Market) -> SealedModel:
    """The market's model as clients bind to it."""
    ref = market.model.ref
    return SealedModel(ref.name, ref.version, ref.checksum)


def seal(
    market: Market, keys: Sequence[SealingKey], *bodies: Mapping[str, Any], model: SealedModel | None = None
) -> tuple[Envelope, ReplyKeys]:
    """Requests to the doubling model for these keys' nodes."""
    packed = [(json.dumps(one).encode(), int(one["inputs"][0]["shape"][0])) for one in bodies or (SECRET_BODY,)]
    return seal_order(packed, model or model_of(market), {key.id: key.public for key in keys})


def wanted(market: Market, envelope: Envelope, **changes: object) -> dict[str, Any]:
    """What `Market.place` takes to place a private order."""
    workload = "batch" if len(envelope.items) > 1 else "inference"
    private = {"private": envelope, "requests": (), "model_version": market.model.ref.version}
    return {"workload": workload, **private, **changes}


def wire(envelope: Envelope) -> dict[str, Any]:
    """An envelope as a client sends it."""
    return {
        "nonce": encoded(envelope.nonce),
        "reply_key": encoded(envelope.reply_key),
        "recipients": [{"key": str(r.key_id), "sealed_key": encoded(r.sealed_key)} for r in envelope.recipients],
        "items": [{"rows": item.rows, "ciphertext": encoded(item.ciphertext)} for item in envelope.items],
    }


def answers(market: Market, order_id: OrderId, keys: ReplyKeys) -> list[list[float]]:
    """What an order gave, opened by its sender."""
    found = receipts.results(market.app.uow(), order_id, market.buyer)
    sealed = [sealed_in(item.outputs or b"") for item in found]
    opened = [json.loads(open_answer(keys, index, one or b"")) for index, one in enumerate(sealed)]
    return [one["outputs"][0]["data"] for one in opened]


def leaks_in_database(engine: Engine, marks: Sequence[bytes] = MARKS) -> list[str]:
    """Columns of any table in which a mark is found, whatever their type."""
    with engine.connect() as connection:
        columns = connection.execute(
            text(
                "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
                " AND data_type IN ('bytea', 'text', 'json', 'jsonb', 'ARRAY', 'character varying')"
            )
        ).all()
        found = []
        for table, column in columns:
            rows = connection.execute(text(f'SELECT "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL')).scalars()
            if any(holds(row, marks) for row in rows):
                found.append(f"{table}.{column}")
    return found


def leaks_in_redis(redis: Redis, marks: Sequence[bytes] = MARKS) -> list[str]:
    """Keys whose name or value, of whatever type, holds a mark."""
    return [repr(key) for key, value in everything_in(redis) if holds(key, marks) or holds(value, marks)]


def everything_in(redis: Redis) -> Iterator[tuple[bytes, object]]:
    """All keys with all that they hold."""
    read: dict[object, Callable[[bytes], object]] = {
        b"string": redis.get,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        b"hash": redis.hgetall,
        b"stream": redis.xrange,
    }
    for key in redis.scan_iter(count=1_000):
        kind = redis.type(key)
        if kind != b"none":
            yield key, read[kind](key)


def holds(value: object, marks: Sequence[bytes] = MARKS) -> bool:
    """Whether a mark is in a value as it stands, or in what base64 in it stands for."""
    raw = value if isinstance(value, bytes) else repr(value).encode()
    if any(mark in raw for mark in marks):
        return True
    for word in re.findall(rb"[A-Za-z0-9+/]{16,}={0,2}", raw):
        try:
            if any(mark in base64.b64decode(word) for mark in marks):
                return True
        except binascii.Error:
            continue
    return False
