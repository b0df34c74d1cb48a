"""Addresses that accounts have us call; who calls them is `messaging.account_webhooks`."""

import re

from backend.domain.errors import Invalid

URL_CHARS_MAX = 500
PORT_MAX = 65_535
# Who would be called, and at which port: a host by name or address, and nothing before it that could be a password.
_URL = re.compile(r"https?://(?:[^\s/?#@:\[\]\\]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?(?:[/?#]\S*)?", re.IGNORECASE)


def check_webhook(url: str, field: str) -> str:
    """An address that can be called, and that names nobody's password; raises Invalid(`invalid_webhook`)."""
    match = _URL.fullmatch(url) if len(url) <= URL_CHARS_MAX and url.isprintable() else None
    if match is None or not 1 <= int(match[1] or 1) <= PORT_MAX:
        raise Invalid(
            f"{field} cannot be called",
            code="invalid_webhook",
            field=field,
            accepted="an https URL with a host, without a password",
        )
    return url
