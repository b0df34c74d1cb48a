"""One effect and one answer per idempotency key."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from pydantic import TypeAdapter

from backend.domain.errors import Conflict
from backend.domain.idempotency import Idempotency
from backend.domain.ids import AccountId
from backend.storage.unit_of_work import UnitOfWork

Answer = TypeVar("Answer")


def once(
    uow: UnitOfWork,
    account: AccountId,
    idempotency: Idempotency | None,
    now: datetime,
    kind: type[Answer],
    do: Callable[[], Answer],
) -> Answer:
    """Do it, or give the answer of the first time, inside an open unit of work that the caller commits.

    Raises Conflict(`idempotency_key_reused`) when the key came with another body before.
    """
    if idempotency is None:
        return do()
    adapter: TypeAdapter[Answer] = TypeAdapter(kind)
    before = uow.idempotency.claim(account, idempotency, now)
    if before is None:
        answer = do()
        uow.idempotency.remember(account, idempotency.key, adapter.dump_python(answer, mode="json"))
        return answer
    if before.body_digest != idempotency.body_digest:
        raise Conflict(
            "this idempotency key came with another body before",
            code="idempotency_key_reused",
            field="Idempotency-Key",
            accepted="a new key, or the first body again",
        )
    return adapter.validate_python(before.answer)
