"""The operator's webhook: signed POSTs with one time-out for all of it. Redirects are not followed.

The address is the operator's own setting, so private ones are allowed: alert receivers are often next door. What the
receiver answers cannot send us elsewhere, and of its answer nothing but the status is read.
"""

import asyncio
import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from backend.domain.errors import Invalid
from backend.messaging.breaker import Breaker
from backend.messaging.breaker_errors import BreakerOpen
from backend.messaging.breaker_policy import BreakerPolicy

TIMEOUT_S = 5.0
SECRET_CHARS_MIN = 16
URL_SETTING, SECRET_SETTING = "SWARMEX_ALERT_WEBHOOK", "SWARMEX_ALERT_WEBHOOK_SECRET"
BREAKER_POLICY = BreakerPolicy(fail_max=3, recovery_s=30.0)
DELIVERY, SIGNATURE = "Swarmex-Delivery", "Swarmex-Signature"
TAKEN = range(200, 300)


@dataclass(frozen=True, slots=True)
class Message:
    """A body with the id that its receiver may know a repeat by; `sent_s` is seconds since 1970."""

    id: str
    body: bytes
    sent_s: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; one that was `held_back` for `retry_s` by the breaker was none."""

    taken: bool
    status: int | None = None
    error: str | None = None
    held_back: bool = False
    retry_s: float = 0.0


class Refused(Exception):
    """The receiver answered, and did not take it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"answered {status}")
        self.status = status


class Webhook:
    """Sends from any thread; raises Invalid(`invalid_setting`) for an address or a secret that cannot be used."""

    def __init__(self, url: str, secret: str | None, breaker: Breaker, timeout_s: float = TIMEOUT_S) -> None:
        self._url = _checked(url)
        if secret is not None and len(secret) < SECRET_CHARS_MIN:
            raise _unusable(SECRET_SETTING, f"at least {SECRET_CHARS_MIN} characters")
        self._secret = secret
        self._breaker = breaker
        self._timeout_s = timeout_s

    def send(self, messages: Sequence[Message]) -> list[Outcome]:
        """Post all of them at once; returns within the time-out, and never raises for what the receiver does."""
        return asyncio.run(self._send(messages)) if messages else []

    async def _send(self, messages: Sequence[Message]) -> list[Outcome]:
        import aiohttp  # slow to import, and most deployments have no webhook

        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:

            async def post(message: Message) -> int:
                headers = self._headers(message)
                async with session.post(self._url, data=message.body, headers=headers, allow_redirects=False) as answer:
                    if answer.status >= 500:
                        raise Refused(answer.status)
                    return answer.status

            async def attempt(message: Message) -> Outcome:
                try:
                    status = await self._breaker.call_async(post, message)
                except BreakerOpen as error:
                    return Outcome(False, error=str(error), held_back=True, retry_s=error.retry_s)
                except Refused as error:
                    return Outcome(False, error.status, str(error))
                except TimeoutError:
                    return Outcome(False, error=f"no answer within {self._timeout_s:g} s")
                except (aiohttp.ClientError, OSError, ValueError) as error:
                    return Outcome(False, error=_untold(error))
                return Outcome(status in TAKEN, status, None if status in TAKEN else f"answered {status}")

            return await asyncio.gather(*map(attempt, messages))

    def _headers(self, message: Message) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "swarmex", DELIVERY: message.id}
        if self._secret is not None:
            headers[SIGNATURE] = signature(self._secret, message.sent_s, message.body)
        return headers


def signature(secret: str, sent_s: int, body: bytes) -> str:
    """`t=<seconds>,v1=<hex HMAC-SHA256 of "<seconds>.<body>">`: who checks the time as well refuses replays."""
    digest = hmac.new(secret.encode(), f"{sent_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={sent_s},v1={digest}"


def _untold(error: Exception) -> str:
    """What happened, without the error's own text: that would tell the address."""
    name, cause = type(error).__name__, getattr(error, "os_error", None) or error.__cause__
    reason = getattr(cause, "errno", None)
    return f"{name}: {os.strerror(reason)}" if isinstance(reason, int) and reason > 0 else name


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise _unusable(URL_SETTING, "an http or https URL with a host")
    return url


def _unusable(setting: str, accepted: str) -> Invalid:
    return Invalid(f"{setting} cannot be used", code="invalid_setting", field=setting, accepted=accepted)
