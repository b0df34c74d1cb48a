"""The settlement agent: pays for finished work, sends units on their way, and returns what got lost."""

import time
from datetime import datetime
from random import random
from typing import ClassVar

import structlog

from agents.alerting import Alerting
from agents.base import Identity, Pace
from agents.batches import Batches
from agents.chores import Chore, run_due
from agents.direct import DirectAgent
from agents.joint_worker import JointWorker
from agents.presence import TELL_EVERY_S, Presence
from agents.relaying import Relaying
from agents.turns import Turns
from backend.bootstrap import Swarmex, utc_now
from backend.domain.events import Topic
from backend.domain.ids import NodeId, UsageId
from backend.services import (
    allocation,
    allowances,
    audit,
    balancing,
    coordination,
    forgetting,
    holds,
    joint_audit,
    joint_tasks,
    judging,
    model_uploads,
    sealing_keys,
    sessions,
    settlement,
    sla,
    stranded_orders,
    sweeper,
    trust,
    usage_charges,
)
from backend.storage.unit_of_work import UnitOfWork

# What events tell of is done at once; the rest is looked for seldom, since looks at nothing are felt by who is served.
SWEEP_EVERY_S = 1.0
FORGET_EVERY_S = 10.0
RESULTS_EVERY_S = 60.0
BALANCE_EVERY_S = 1.0
WINDOWS_EVERY_S = 1.0
JUDGED_EVERY_S = 1.0
EXPIRE_EVERY_S = 5.0
USAGE_EVERY_S = 5.0
SLA_EVERY_S = 2.0
TRUST_EVERY_S = 5.0
EVIDENCE_EVERY_S = 60.0
AUDIT_EVERY_S = 10.0
SHARED_EVERY_S = 2.0
UPLOADS_EVERY_S = 60.0
GATEWAYS_EVERY_S = 2.0
SEALED_EVERY_S = 1.0

log = structlog.get_logger(__name__)


class SettlementAgent(DirectAgent):
    """Each duty in transactions of its own; replicas share the work row by row."""

    name: ClassVar[str] = "settlement"
    channels: ClassVar[tuple[Topic, ...]] = (
        Topic.WORK_COMMITTED,
        Topic.LEASES_ENDED,
        Topic.ORDERS_CLOSED,
    )
    period_s: ClassVar[float] = 1.0

    def __init__(self, identity: Identity, app: Swarmex) -> None:
        super().__init__(identity, app)
        self._alerting = Alerting(app)
        self._relaying = Relaying(app)
        self._batches = Batches(app)
        self._usage_after: UsageId | None = None  # where the next page of unpaid usage begins
        self._scored_after: NodeId | None = None  # where the next turn of scores begins
        self._joint = JointWorker(app, identity, {joint_audit.KIND: lambda p: joint_audit.audit_part(app.uow(), p)})
        self._turns = Turns(app, identity)
        alone = self._turns.alone
        duties = (
            Chore("settle", self._settle),
            Chore("dispatch", self._dispatch),
            Chore("judged", self._free_nodes, JUDGED_EVERY_S),
            Chore("windows", self._settle_windows, WINDOWS_EVERY_S),
            Chore("sweep", self._sweep, SWEEP_EVERY_S),
            Chore("forget", self._forget, FORGET_EVERY_S),
            Chore("balance", self._balance, BALANCE_EVERY_S),
            Chore("results", self._forget_results, RESULTS_EVERY_S),
            Chore("batch-results", self._forget_batches, RESULTS_EVERY_S),
            Chore("answers", self._forget_answers, RESULTS_EVERY_S),
            Chore("expire", self._expire, EXPIRE_EVERY_S),
            Chore("usage", self._charge_usage, USAGE_EVERY_S),
            Chore("sla", self._keep_promises, SLA_EVERY_S),
            Chore("shared", self._tidy_shared, SHARED_EVERY_S),
            Chore("uploads", self._expire_uploads, UPLOADS_EVERY_S),
            Chore("gateways", self._end_lost_gateways, GATEWAYS_EVERY_S),
            Chore("sealed", self._keep_sealed, SEALED_EVERY_S),
            # One replica does these at a time: together they would only do the same several times over.
            Chore("trust", alone("settlement.trust", self._rescore, TRUST_EVERY_S), TRUST_EVERY_S),
            Chore("evidence", alone("settlement.evidence", self._tidy_evidence, EVIDENCE_EVERY_S), EVIDENCE_EVERY_S),
            Chore("audit", alone("settlement.audit", self._audit, AUDIT_EVERY_S), AUDIT_EVERY_S),
        )
        self._presence = Presence(app, self.name, identity, [duty.name for duty in duties])
        self._chores = (*duties, Chore("presence", self._presence.tell, TELL_EVERY_S))

    def opened(self) -> None:
        self._alerting.start()
        self._joint.start()
        self._relaying.start()
        self._batches.start()

    def tick(self, now: datetime) -> Pace:
        more = run_due(self._chores, now, time.monotonic(), random())
        return Pace.AGAIN if more else Pace.REST

    def _settle(self, now: datetime) -> bool:
        return settlement.settle_finished(self.uow(), now) > 0

    def _free_nodes(self, now: datetime) -> bool:
        return judging.free_nodes(self.uow(), now) >= judging.FREED_MAX

    def _dispatch(self, now: datetime) -> bool:
        return allocation.dispatch_more(self.uow(), now) > 0

    def _settle_windows(self, now: datetime) -> bool:
        sessions.settle_windows(self.uow(), now)
        return False

    def _sweep(self, now: datetime) -> bool:
        sweeper.sweep(self.uow(), now)
        return False

    def _forget(self, now: datetime) -> bool:
        return sweeper.forget(self.uow(), now) >= sweeper.SWEEP_MAX

    def _forget_results(self, now: datetime) -> bool:
        return forgetting.forget_results(self.uow(), now)

    def _forget_batches(self, now: datetime) -> bool:
        return forgetting.forget_batches(self.uow(), now)

    def _forget_answers(self, now: datetime) -> bool:
        return forgetting.forget_answers(self.uow(), now)

    def _balance(self, now: datetime) -> bool:
        return balancing.balance(self.uow(), now) > 0

    def _expire(self, now: datetime) -> bool:
        return holds.expire(self.uow(), now) >= holds.EXPIRE_MAX

    def _charge_usage(self, now: datetime) -> bool:
        self._usage_after = usage_charges.collect_unpaid(self.uow(), now, self._usage_after).after
        return self._usage_after is not None

    def _keep_promises(self, now: datetime) -> bool:
        counted, closed = sla.observe(self.uow(), now), sla.close_due(self.uow(), now)
        return counted >= sla.OBSERVE_ORDERS_MAX or closed >= sla.CLOSE_MAX

    def _end_lost_gateways(self, now: datetime) -> bool:
        return allowances.end_lost(self.uow(), now) >= allowances.LOST_MAX

    def _keep_sealed(self, now: datetime) -> bool:
        challenged = sealing_keys.issue_challenges(self.uow(), now)
        moved = stranded_orders.release_stranded(self.uow(), now)
        return challenged >= sealing_keys.CHALLENGES_MAX or moved >= stranded_orders.STRANDED_MAX

    def _tidy_shared(self, now: datetime) -> bool:
        joint_tasks.sweep_joint(self.uow(), now)
        return coordination.expire_facts(self.uow(), now) == coordination.EXPIRE_MAX

    def _expire_uploads(self, now: datetime) -> bool:
        return model_uploads.expire_uploads(self.uow(), now, self.app.objects) == model_uploads.EXPIRE_MAX

    def _rescore(self, now: datetime, uow: UnitOfWork) -> bool:
        self._scored_after = trust.rescore(uow, now, self._scored_after).after
        return False

    def _tidy_evidence(self, now: datetime, uow: UnitOfWork) -> bool:
        return trust.tidy(uow, now)

    def _audit(self, now: datetime, uow: UnitOfWork) -> bool:
        report = audit.audit_recent(uow, now)
        if not report.ok:
            log.error("audit.differences", found=sorted({difference.what for difference in report.differences}))
        return False

    def drained(self) -> None:
        self._alerting.stop()
        self._joint.stop()
        self._relaying.stop()
        self._batches.stop()
        try:
            self._turns.end()
            self._presence.end(utc_now())
        except Exception as error:  # of any layer below: then both run out
            log.warning("agent.kept_its_turns", error=repr(error))
