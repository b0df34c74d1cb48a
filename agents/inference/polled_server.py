"""The server of a node that nobody dials: it fetches requests, runs them as if they had come by wire, and answers.

It is the same Open Inference Protocol server, asked in memory instead of over a socket.
"""

import asyncio
import secrets
from random import random
from threading import Event, Thread
from typing import Protocol

import httpx
import structlog
import uvloop

from agents.inference.admission import Admission
from agents.inference.batcher import BatchCounts
from agents.inference.catalogue import Catalogue
from agents.inference.models import LoadedModels
from agents.inference.oip_app import BUSY_HEADER, OipApp
from agents.inference.outgoing import Outgoing
from agents.inference.run_queue import RunQueue
from backend.domain.backoff import delay_s
from backend.domain.mail import LETTERS_MAX, MailedAnswer, MailedRequest
from backend.domain.tensors import HEADER_LENGTH
from backend.domain.urgency import TIER_HEADER

FETCHED_MAX = 64
GRACE_S = 4.0
START_S = 2.0
TIMED_OUT = 504  # in front of a model that took longer than anybody waits
DIGITS_MAX = 15

log = structlog.get_logger(__name__)


class Requests(Protocol):
    """Where requests come from and answers go to; both may raise when the coordinator is away."""

    def open(self) -> None:
        """Be used in this event loop from now on."""
        ...

    async def fetch(self, places: int) -> list[MailedRequest]:
        """Requests to run, perhaps after a long wait."""
        ...

    async def answer(self, answers: list[MailedAnswer]) -> None:
        """Bring answers, as many as one message carries."""
        ...

    async def close(self) -> None:
        """Drop all connections."""
        ...


class PolledServer:
    """Serves models to whoever leaves requests at the coordinator; at most `places` at once."""

    endpoint: None = None
    token: None = None

    def __init__(
        self, catalogue: Catalogue, models: LoadedModels, requests: Requests, places: int = FETCHED_MAX
    ) -> None:
        self.batches = BatchCounts()
        self.runs = RunQueue()
        self._catalogue = catalogue
        self._models = models
        self._requests = requests
        self._places = places
        self._secret = secrets.token_urlsafe(32)  # nobody but us can ask it, but it does not know that
        self._up = Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._admission: Admission | None = None
        self._grace_s = GRACE_S
        self._thread = Thread(target=self._serve, name="polled", daemon=True)

    def start(self) -> None:
        """Begin to fetch; returns at once."""
        self._thread.start()

    def drain(self) -> None:
        """Refuse from now on what is fetched; what runs goes on."""
        if self._admission is not None:
            self._admission.draining = True

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Fetch no more, let what runs end, for `grace_s` at most, and end."""
        if self._thread.ident is not None and self._up.wait(START_S):
            self.drain()
            self._grace_s = grace_s
            if self._loop is not None and self._over is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join(grace_s + 1)

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        admission = self._admission = Admission(
            self._places * 3 // 2, self.runs
        )  # none of them is refused for those kept for other tiers
        app = OipApp(self._secret, self._catalogue, self._models, admission, self.batches)
        self._requests.open()
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app.asgi),
            base_url="http://node",
            headers={"Authorization": f"Bearer {self._secret}"},
        )
        outgoing = Outgoing(self._requests.answer)
        running: set[asyncio.Task[None]] = set()
        polling = asyncio.create_task(self._keep_fetching(client, outgoing, running))
        sending = asyncio.create_task(outgoing.run())
        self._up.set()
        try:
            await self._over.wait()
            polling.cancel()
            if running:
                await asyncio.wait(running, timeout=self._grace_s)
            await outgoing.sent(self._grace_s)
        finally:
            for task in (polling, sending, *running):
                task.cancel()
            await asyncio.gather(polling, sending, *running, return_exceptions=True)
            admission.close()
            await client.aclose()
            await self._requests.close()

    async def _keep_fetching(
        self, client: httpx.AsyncClient, outgoing: Outgoing, running: "set[asyncio.Task[None]]"
    ) -> None:
        failures = 0
        while True:
            while len(running) >= self._places:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            try:
                found = await self._requests.fetch(min(LETTERS_MAX, self._places - len(running)))
            except Exception as error:  # of any layer below; requests must be fetched again
                failures += 1
                log.warning("fetching.failed", error=repr(error), failures=failures)
                await asyncio.sleep(delay_s(failures, random()))
                continue
            failures = 0
            for request in found:
                task = asyncio.create_task(self._run(client, outgoing, request))
                running.add(task)
                task.add_done_callback(running.discard)

    async def _run(self, client: httpx.AsyncClient, outgoing: Outgoing, request: MailedRequest) -> None:
        try:
            async with asyncio.timeout(request.left_ms / 1_000):
                answer = await client.post(request.path, content=request.body, headers=_headers(request), timeout=None)
        except TimeoutError:
            outgoing.add(MailedAnswer(request.id, TIMED_OUT, None, None, b"{}"))
            return
        except Exception as error:  # whatever it is, somebody waits for an answer
            log.error("polled.broke", error=repr(error), exc_info=error)
            outgoing.add(MailedAnswer(request.id, 500, None, None, b'{"error":"the node broke"}'))
            return
        told = answer.headers
        outgoing.add(
            MailedAnswer(
                request.id,
                answer.status_code,
                _count(told.get(HEADER_LENGTH, "")),
                _count(told.get(BUSY_HEADER, "")),
                answer.content,
            )
        )


def _headers(request: MailedRequest) -> dict[str, str]:
    headers = {"Content-Type": "application/json", TIER_HEADER: request.tier.value}
    if request.header_length is not None:
        headers |= {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(request.header_length)}
    return headers | ({"traceparent": request.traceparent} if request.traceparent else {})


def _count(told: str) -> int | None:
    return int(told) if told.isdecimal() and len(told) < DIGITS_MAX else None
