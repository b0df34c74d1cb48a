"""Canaries on the real database: what nodes answered is run again, and counts once."""

from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import text

from backend.bootstrap import utc_now
from backend.domain.errors import Invalid
from backend.domain.ids import NodeId
from backend.domain.money import NANO_PER_CREDIT
from backend.domain.trust import TRUST_KEPT, Evidence
from backend.domain.work import ItemResult
from backend.services import canaries, trust
from backend.services.canaries import Checked
from tests.integration.services.earning import ADMIN
from tests.market import Market

RIGHT = b'{"outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[2.0,4.0]}]}'
WRONG = b'{"outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[2.0,3.0]}]}'


@dataclass
class Lab:
    """A node whose answers the test writes."""

    market: Market
    node: NodeId

    def serve(self, *answers: bytes) -> None:
        """Orders that the node answers like this, settled."""
        executor = self.market.executor()
        self.market.place(len(answers))
        self.market.clear()
        items = executor.claim(self.market.dispatched())
        assert len(items) == len(answers)
        results = [ItemResult(i.item_id, i.fence, 5, answer) for i, answer in zip(items, answers, strict=True)]
        executor.database.commit(executor.id, results)
        self.market.settle()

    def check(self, per_node: int = 10, seed: str = "seed") -> Checked:
        """One check."""
        return canaries.check(self.market.app.uow(), utc_now(), ADMIN, self.market.app.objects, seed, per_node)

    def found(self, kind: Evidence) -> int:
        """How much of a kind is known of the node."""
        with self.market.app.uow() as uow:
            events = uow.trust.histories([self.node], utc_now() - TRUST_KEPT)[self.node]
        return sum(event.count for event in events if event.kind is kind)


@pytest.fixture
def lab(market: Market) -> Lab:
    """A node with slots to spare."""
    return Lab(market, market.node("a", slots=50).id)


def test_right_and_wrong_answers_are_told_apart_and_each_item_counts_once(lab: Lab) -> None:
    lab.serve(RIGHT, RIGHT, WRONG, b'{"outputs":[]}', b"no JSON")
    assert lab.check() == Checked(passed=2, failed=3, skipped=0)
    with lab.market.app.uow() as uow:
        logged = uow.connection.execute(text("SELECT details FROM audit_log WHERE action = 'trust.check'")).scalar_one()
    assert logged == {"seed": "seed", "passed": 2, "failed": 3, "skipped": 0}
    assert lab.check(seed="another") == Checked(passed=0, failed=0, skipped=0)
    assert (lab.found(Evidence.CANARY_PASSED), lab.found(Evidence.CANARY_FAILED)) == (2, 3)
    trust.tidy(lab.market.app.uow(), utc_now() + timedelta(minutes=30))
    assert lab.check() == Checked(passed=0, failed=0, skipped=0)


def test_a_node_that_cheats_is_found_out_however_content_its_buyer_is(lab: Lab) -> None:
    lab.serve(*[WRONG] * 20)
    trust.rescore(lab.market.app.uow(), utc_now())
    [before] = trust.list_trust(lab.market.app.uow(), None)
    assert before.trust_ppm > 700_000
    assert lab.check(per_node=1).failed == 1
    trust.rescore(lab.market.app.uow(), utc_now())
    [after] = trust.list_trust(lab.market.app.uow(), None)
    assert after.trust_ppm < 250_000


def test_the_choice_is_bounded_per_node_and_depends_on_the_seed_alone(lab: Lab) -> None:
    lab.serve(*[RIGHT] * 12)
    with lab.market.app.uow() as uow:

        def drawn(seed: str) -> set[object]:
            since = utc_now() - timedelta(hours=1)
            return {canary.item_id for canary in uow.trust.canaries(since, seed, 3, canaries.US_MAX, 100)}

        assert len(drawn("one")) == 3
        assert drawn("one") == drawn("one")
        assert len({frozenset(drawn(str(seed))) for seed in range(5)}) > 1
    assert lab.check(per_node=3).passed == 3
    with pytest.raises(Invalid, match="21 items"):
        lab.check(per_node=21)


def test_what_cannot_be_known_here_is_no_evidence(lab: Lab) -> None:
    lab.serve(WRONG)
    [model] = (path for path in (lab.market.app.settings.folder / "objects").rglob("*.onnx"))
    model.write_bytes(b"damaged")
    assert lab.check() == Checked(passed=0, failed=0, skipped=1)
    model.unlink()
    assert lab.check() == Checked(passed=0, failed=0, skipped=1)
    assert lab.found(Evidence.CANARY_FAILED) == 0


def test_a_provider_does_not_choose_the_questions_that_its_own_nodes_are_asked(lab: Lab) -> None:
    lab.market.buyer = lab.market.provider = lab.market.account("both", 100 * NANO_PER_CREDIT)
    own = lab.market.node("own", slots=50, ask=900_000).id
    lab.serve(RIGHT)
    with lab.market.app.uow() as uow:
        chosen = uow.trust.canaries(utc_now() - timedelta(hours=1), "seed", 10, canaries.US_MAX, 100)
    assert own not in {canary.node_id for canary in chosen}
