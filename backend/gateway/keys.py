"""Who calls, without a database query per request."""

import hashlib
from collections.abc import Callable

from backend.domain.access import Principal
from backend.domain.errors import Unauthenticated
from backend.gateway.cache import Cache
from backend.gateway.changes import Changes
from backend.gateway.limits import KEYS_MAX
from backend.gateway.rates.guesses import Guesses
from backend.gateway.threads import Threads

SECRET_CHARS_MAX = 200


class Keys:
    """API keys in use, by the SHA-256 of their secrets; the secrets themselves are not kept.

    The look-up need not take constant time: what it compares are digests, and whoever measures it would learn
    about the digest of a guess, from which nothing can be told about a secret of 256 random bits.
    """

    def __init__(self, authenticate: Callable[[str], Principal], threads: Threads, changes: Changes) -> None:
        self._authenticate = authenticate
        self._changes = changes
        self._guesses = Guesses()
        self._cache: Cache[bytes, Principal] = Cache(threads, KEYS_MAX)
        changes.watch("keys", self._cache.clear)

    async def principal(self, secret: str, address: str | None = None) -> Principal:
        """Whose key it is; raises Unauthenticated, or Unavailable while it cannot be known.

        Raises RateLimited for a key that is not known here yet, when too many from that address were wrong.
        """
        if not secret.isascii() or len(secret) > SECRET_CHARS_MAX:
            raise Unauthenticated("this is not an API key", field="Authorization", accepted="Bearer and an API key")
        self._changes.require_fresh()
        digest = hashlib.sha256(secret.encode()).digest()
        if address is None or digest in self._cache:
            return await self._cache.get(digest, lambda: self._authenticate(secret))
        self._guesses.check(address)
        try:
            return await self._cache.get(digest, lambda: self._authenticate(secret))
        except Unauthenticated:
            self._guesses.wrong(address)
            raise
