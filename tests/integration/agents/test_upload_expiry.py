"""The settlement agent drops uploads that nobody went on with."""

from datetime import timedelta

import pytest

from agents.base import Identity
from agents.settlement import SettlementAgent
from backend.bootstrap import new_id, utc_now
from backend.domain.errors import NotFound
from backend.domain.ids import AgentId
from backend.domain.uploads import KEPT
from backend.services import model_uploads
from tests.integration.services.registering import with_key
from tests.market import Market


def test_an_upload_that_was_left_is_gone_after_the_agents_next_look(market: Market) -> None:
    app, owner, now = market.app, with_key(market, "owner"), utc_now()
    long_ago = now - KEPT - timedelta(seconds=1)
    left = model_uploads.begin_upload(app.uow(), long_ago, owner, "left", 1, "0" * 64)
    fresh = model_uploads.begin_upload(app.uow(), now, owner, "fresh", 1, "0" * 64)
    agent = SettlementAgent(Identity.of_this_process(AgentId(new_id()), "settlement-0"), app)
    agent.opened()
    try:
        agent.tick(now)
    finally:
        agent.drained()
    assert model_uploads.show_upload(app.uow(), owner, fresh.id) == fresh
    with pytest.raises(NotFound):
        model_uploads.show_upload(app.uow(), owner, left.id)
