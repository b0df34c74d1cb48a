"""Works on parts of joint tasks beside an agent's own duties: one at a time, in a thread, with signs of life."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWorking
from datetime import datetime
from random import random
from threading import Event, Thread

import structlog

from agents.base import Identity
from agents.chores import Chore, run_due
from backend.bootstrap import Swarmex, utc_now
from backend.domain.errors import Invalid
from backend.domain.joint_tasks import BEAT_S, ClaimedPart, PartFailure, PartResult
from backend.services import joint_tasks

LOOK_EVERY_S = 1.0
STOP_TIMEOUT_S = 5.0

Work = Callable[[object], object]
"""What is done with a part's payload; returns its result as JSON. Invalid says that nobody needs to try again."""

log = structlog.get_logger(__name__)


class JointWorker:
    """Started and stopped with its agent. What it has in hand when the agent ends returns to the others."""

    def __init__(self, app: Swarmex, identity: Identity, work: Mapping[str, Work]) -> None:
        self._app = app
        self._claimer = f"{identity.name}/{identity.agent_id}"
        self._work = work
        self._stopping = Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="joint-part")
        self._thread = Thread(target=self._keep_looking, name="joint-worker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End within STOP_TIMEOUT_S."""
        self._stopping.set()
        self._thread.join(STOP_TIMEOUT_S)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def look(self, _: datetime) -> bool:
        """Work on one part, if any waits; returns whether one did."""
        parts = joint_tasks.claim_parts(self._app.uow(), utc_now(), self._claimer, list(self._work))
        for part in parts:
            self._do(part)
        return bool(parts)

    def _keep_looking(self) -> None:
        chore = Chore("joint", self.look, LOOK_EVERY_S)
        while not self._stopping.is_set():
            if not run_due((chore,), utc_now(), time.monotonic(), random()):
                self._stopping.wait(LOOK_EVERY_S)

    def _do(self, part: ClaimedPart) -> None:
        running = self._pool.submit(self._work[part.kind], part.payload)
        if not self._accompany(part, running):
            log.warning("joint.part_lost", task=str(part.claim.task_id), seq=part.claim.seq)
            return
        results, failures = _outcome(part, running)
        joint_tasks.commit_parts(self._app.uow(), utc_now(), results, failures)

    def _accompany(self, part: ClaimedPart, running: "Future[object]") -> bool:
        """Beat until the work is done; False once the part is not ours any more, or the agent ends."""
        while not self._stopping.is_set():
            try:
                running.exception(BEAT_S)
                return True
            except StillWorking:
                if not joint_tasks.beat_parts(self._app.uow(), utc_now(), [part.claim]):
                    return False
        return running.done()


def _outcome(part: ClaimedPart, done: "Future[object]") -> tuple[list[PartResult], list[PartFailure]]:
    error = done.exception()
    if error is None:
        return [PartResult(part.claim, done.result())], []
    return [], [PartFailure(part.claim, repr(error), again=not isinstance(error, Invalid))]
