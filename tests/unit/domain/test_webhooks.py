"""Addresses that accounts have us call."""

import pytest

from backend.domain.errors import Invalid
from backend.domain.webhooks import check_webhook


def test_an_address_with_a_host_can_be_called() -> None:
    for url in ("https://example.com/hook?a=b", "http://receiver:8080/"):
        assert check_webhook(url, "webhook") == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com",
        "https://",
        "https://me:secret@example.com",
        "https://example.com:0/",
        "https://example.com/ x",
        "https://example.com/\n",
        "https://[::1",
        "https://example.com/" + "x" * 500,
    ],
)
def test_any_other_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_webhook(url, "webhook")
    assert (refused.value.code, refused.value.field) == ("invalid_webhook", "webhook")
