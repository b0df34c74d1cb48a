"""Signed links: good for one path until one moment."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from backend.domain.errors import Forbidden
from backend.domain.links import LINK_LASTS, check_link, link

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PATH = "/v1/files/file-1/content"


def test_a_link_opens_its_path_until_it_expires() -> None:
    parts = urlsplit(link("secret", PATH, NOW))
    query = parse_qs(parts.query)
    expires, signature = int(query["expires"][0]), query["signature"][0]
    assert (parts.path, expires) == (PATH, int((NOW + LINK_LASTS).timestamp()))
    check_link("secret", PATH, expires, signature, NOW + LINK_LASTS - timedelta(seconds=1))
    with pytest.raises(Forbidden, match="expired"):
        check_link("secret", PATH, expires, signature, NOW + LINK_LASTS)
    for secret, path, until, given in (
        ("other", PATH, expires, signature),
        ("secret", PATH + "x", expires, signature),
        ("secret", PATH, expires + 1, signature),
        ("secret", PATH, expires, signature[:-1]),
        ("secret", PATH, expires, "é"),
    ):
        with pytest.raises(Forbidden, match="wrong"):
            check_link(secret, path, until, given, NOW)
