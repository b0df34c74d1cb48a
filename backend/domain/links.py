"""Signed links: whoever has one may read one path without a key, until it expires."""

import hashlib
import hmac
from datetime import datetime, timedelta

from backend.domain.errors import Forbidden

LINK_LASTS = timedelta(days=1)


def sign(secret: str, path: str, expires_s: int) -> str:
    """The signature of a link: hex HMAC-SHA256 over its path and the second (since 1970) it expires in."""
    return hmac.new(secret.encode(), f"{expires_s}\n{path}".encode(), hashlib.sha256).hexdigest()


def link(secret: str, path: str, now: datetime, lasts: timedelta = LINK_LASTS) -> str:
    """The path with its expiry and signature as its query."""
    expires_s = int((now + lasts).timestamp())
    return f"{path}?expires={expires_s}&signature={sign(secret, path, expires_s)}"


def check_link(secret: str, path: str, expires_s: int, signature: str, now: datetime) -> None:
    """Raise Forbidden for a signature that is not ours, or that has expired; compares in constant time."""
    if not hmac.compare_digest(sign(secret, path, expires_s).encode(), signature.encode()):
        raise Forbidden("the link's signature is wrong", code="invalid_signature", field="signature")
    if expires_s <= now.timestamp():
        raise Forbidden(
            "the link has expired", code="link_expired", field="expires", accepted="a fresh one from the batch"
        )
