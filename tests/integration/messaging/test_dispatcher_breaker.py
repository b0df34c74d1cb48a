"""A dispatcher whose broker is away asks it only now and then, and goes on once it is back."""

from uuid import uuid4

import pytest

from backend.domain.errors import Unavailable
from backend.domain.ids import UnitId
from backend.domain.work import Dispatch
from backend.messaging.breaker import Breaker
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.dispatcher import BREAKER_POLICY, Dispatcher
from backend.messaging.queues import Priority, pool_queue
from tests.own_redis import OwnRedis
from tests.unit.messaging.breaking import Clock


def never(_seconds: float) -> None:
    pytest.fail("it waits for the broker, and everybody else for it")


def test_a_broker_that_is_away_is_neither_asked_for_every_unit_nor_waited_for(
    own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kombu.utils.functional.sleep", never)  # between attempts to connect
    clock = Clock()
    dispatcher = Dispatcher(own_redis.url, Breaker("queues", BREAKER_POLICY, clock=clock))
    unit = Dispatch(UnitId(uuid4()), pool_queue("p"), Priority.NORMAL)
    own_redis.kill()
    causes = []
    for _ in range((BREAKER_POLICY.fail_max or 0) + 2):
        with pytest.raises(Unavailable) as caught:
            dispatcher.send([unit])
        assert caught.value.code == "queues_unavailable"
        causes.append(isinstance(caught.value.__cause__, BreakerOpen))
    assert causes == [False, False, False, True, True]
    own_redis.start()
    clock.pass_s(BREAKER_POLICY.recovery_s)
    for _ in range(2):
        dispatcher.send([unit])
    dispatcher.close()
