"""HEAD is answered as GET is, without the body, and costs nobody the reading of one."""

from collections.abc import Iterator, Mapping
from http.client import HTTPConnection

import pytest

from backend.bootstrap import Swarmex
from backend.storage.objects import ObjectStore
from tests.integration.api.callers import Callers
from tests.waiting import PATIENCE_S

MODEL = "/api/v1/models/scale"
FILE = f"{MODEL}/versions/1/file"
OWN = {"date", "swarmex-request-id", "swarmex-trace-id", "ratelimit-remaining", "ratelimit-reset"}  # of each request


def facts(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that two answers to the same question share."""
    return {name.lower(): value for name, value in headers.items() if name.lower() not in OWN}


@pytest.mark.parametrize(
    "path", ["/health/live", "/health/ready", "/docs", "/v2/health/ready", MODEL, FILE, "/nowhere"]
)
def test_head_tells_what_get_would(callers: Callers, path: str) -> None:
    got, told = callers.user.get(path), callers.user.request("HEAD", path)
    assert (told.status_code, facts(told.headers)) == (got.status_code, facts(got.headers))
    assert told.content == b""
    assert int(told.headers["content-length"]) == len(got.content)


def test_head_needs_what_get_needs(callers: Callers) -> None:
    assert callers.stranger.head(MODEL).status_code == 401
    assert callers.user.request("HEAD", "/metrics").status_code == 403
    refused = callers.user.request("HEAD", "/api/v1/workloads")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


def test_conditions_are_heard_and_ranges_are_for_get_alone(callers: Callers) -> None:
    whole = callers.user.request("HEAD", FILE)
    for asked in ("bytes=0-9", "bytes=999999999-"):
        told = callers.user.request("HEAD", FILE, headers={"Range": asked})
        assert (told.status_code, facts(told.headers)) == (200, facts(whole.headers))
    known = {"If-None-Match": whole.headers["ETag"]}
    assert callers.user.request("HEAD", FILE, headers=known).status_code == 304


def test_no_file_is_read_for_its_head_and_the_connection_goes_on(
    callers: Callers, market: Swarmex, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def endless(_: ObjectStore, *_more: object) -> Iterator[bytes]:
        while True:
            given.append(1)
            yield b"x"

    monkeypatch.setattr(ObjectStore, "chunks", endless)
    size = callers.user.get(MODEL).json()["size_bytes"]
    host, _, port = url.removeprefix("http://").partition(":")
    connection = HTTPConnection(host, int(port), timeout=PATIENCE_S)
    for _ in range(3):
        connection.request("HEAD", FILE, headers={"Authorization": f"Bearer {callers.user.key.secret}"})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["content-length"], answer.read()) == (200, str(size), b"")
    connection.close()
    assert len(given) < size
