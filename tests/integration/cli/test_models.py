"""Models from the command line: what is said of versions, and files sent and fetched through interruptions."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from backend.bootstrap import utc_now
from backend.cli import model_transfers
from backend.cli.infer import Refused
from backend.cli.model_transfers import Transfers
from backend.domain.errors import Unavailable
from backend.domain.ids import UploadId
from tests.integration.api.once import application
from tests.integration.cli.runner import Cli
from tests.market import Market
from tests.onnx_files import write_doubling
from tests.unit.api.serving import serving

CHUNK = 32


@pytest.fixture
def registry(cli: Cli, market: Market, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An API over the market, and a provider's key in the environment; chunks are small."""
    monkeypatch.setenv("SWARMEX_KEY", cli.json("key", "create", "provider", "--role", "provider")["secret"])
    monkeypatch.setattr(model_transfers, "CHUNK_BYTES_MAX", CHUNK)
    with serving(application(market.app)) as url:
        monkeypatch.setenv("SWARMEX_URL", url)
        yield url


def test_versions_get_aliases_tags_and_stages(cli: Cli, market: Market, tmp_path: Path) -> None:
    cli.json("model", "register", "doubling", write_doubling(tmp_path / "b.onnx", 3.0))
    assert cli.json("model", "alias", "doubling", "champion", 1)["aliases"] == ["champion"]
    assert cli.json("model", "show", "doubling@champion")["version"] == 1
    assert (
        cli.json("model", "show", "doubling")["version"]
        == cli.json("model", "show", "doubling", "--version", 2)["version"]
    )
    tagged = cli.json("model", "tag", "doubling", 1, "team=maths", "checked", "--description", "twice as much")
    assert (tagged["tags"], tagged["description"]) == ({"team": "maths", "checked": ""}, "twice as much")
    assert cli.json("model", "tag", "doubling", 1, "--drop", "checked")["tags"] == {"team": "maths"}
    for version in (1, 2):
        cli.json("model", "stage", "doubling", version, "staging")
    cli.json("model", "stage", "doubling", 1, "production")
    assert cli.refused("model", "stage", "doubling", 2, "production") == ("production_taken", "stage")
    assert cli.json("model", "stage", "doubling", 2, "production", "--replace")["stage"] == "production"
    found = cli.run("model", "search", "MATHS", "--stage", "archived").out
    assert all(word in found for word in ("doubling", "archived", "champion", "team=maths", "x FP32[-1, 2]"))
    assert [d["version"] for d in cli.json("model", "search", "--tag", "team=maths")] == [1]
    assert cli.json("model", "search", "--datatype", "INT8") == []


def test_a_version_is_deleted_when_nothing_uses_it_and_restored(cli: Cli, market: Market) -> None:
    cli.json("model", "alias", "doubling", "best", 1)
    assert cli.refused("model", "delete", "doubling", 1) == ("model_in_use", "version")
    shown = cli.run("model", "alias", "doubling", "best", "--delete")
    assert (shown.code, shown.err) == (0, "doubling@best stands for nothing any more.\n")
    assert cli.json("model", "delete", "doubling", 1)["deleted_at"]
    assert cli.json("model", "list") == []
    assert cli.refused("model", "show", "doubling") == ("unknown_model", "model")
    assert "deleted" in cli.run("model", "search", "--deleted").out
    assert cli.json("model", "restore", "doubling", 1)["deleted_at"] is None
    assert len(cli.json("model", "list")) == 1


def test_what_is_missing_is_told(cli: Cli, market: Market, tmp_path: Path) -> None:
    assert cli.refused("model", "alias", "doubling", "best") == ("version_needed", "version")
    assert cli.refused("model", "alias", "doubling", "best", 1, "--delete") == ("version_needed", "version")
    assert cli.refused("model", "tag", "doubling", 1) == ("nothing_to_change", "tags")
    assert cli.refused("model", "upload", "new", tmp_path / "nothing") == ("no_such_file", "file")
    assert cli.refused("model", "download", "doubling", tmp_path / "no" / "file") == ("no_such_folder", "file")
    assert cli.refused("model", "download", "doubling", tmp_path / "file") == ("unauthenticated", "SWARMEX_KEY")


def test_a_file_goes_to_the_market_and_comes_back(cli: Cli, registry: str, tmp_path: Path) -> None:
    file, back = write_doubling(tmp_path / "new.onnx", 5.0), tmp_path / "back.onnx"
    sent = cli.json("model", "upload", "new", file)
    assert (sent["name"], sent["version"], sent["size_bytes"]) == ("new", 1, file.stat().st_size)
    assert cli.json("model", "upload", "new", file)["id"] == sent["id"], "the same again changes nothing"
    assert sent["created_at"][:19].replace("T", " ") in cli.run("model", "upload", "new", file).out, (
        "as times are shown"
    )
    got = cli.json("model", "download", "new", back)
    assert (got["version"], got["checksum"]) == (1, sent["checksum"])
    assert back.read_bytes() == file.read_bytes()
    assert sorted(path.name for path in tmp_path.glob("*.part")) == []
    assert cli.refused("model", "upload", "doubling", file) == ("not_the_owner", "name")
    assert cli.refused("model", "download", "nobody", back) == ("unknown_model", "model")
    (tmp_path / "text").write_text("this is no model")
    assert cli.refused("model", "upload", "text", tmp_path / "text") == ("invalid_model_file", "file")


def test_a_market_that_is_not_there_is_told_after_some_attempts(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_transfers, "ATTEMPTS_MAX", 2)
    monkeypatch.setenv("SWARMEX_KEY", "swx_any")
    file = write_doubling(tmp_path / "new.onnx")
    for url in ("http://127.0.0.1:1", "nowhere"):
        assert cli.refused("model", "upload", "new", file, "--url", url) == ("api_unreachable", "SWARMEX_URL")


class Flaky(httpx.BaseTransport):
    """A connection on which every third answer is lost, and downloads break off after some bytes."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()
        self.requests = 0
        self.lost = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        answer = self._inner.handle_request(request)
        if request.url.path.endswith("/file"):
            answer.read()
            answer.stream = _Breaking(answer.content)
            return httpx.Response(answer.status_code, headers=answer.headers, stream=answer.stream)
        if self.requests % 3 == 0:
            self.lost += 1
            raise httpx.ReadError("it broke off")
        return answer


class _Breaking(httpx.SyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content[:CHUNK]
        if len(self._content) > CHUNK:
            raise httpx.ReadError("it broke off")


@pytest.fixture
def transfers(registry: str) -> Iterator[Callable[[httpx.BaseTransport], Transfers]]:
    """Makes transfers over some transport, that wait for nothing."""
    import os

    made: list[Transfers] = []

    def make(transport: httpx.BaseTransport) -> Transfers:
        transfers = Transfers(registry, os.environ["SWARMEX_KEY"], lambda *_: None, sleep=lambda _: None)
        transfers._http._transport = transport
        made.append(transfers)
        return transfers

    yield make
    for one in made:
        one.__exit__(None, None, None)


def test_lost_answers_and_broken_connections_are_gone_on_from(
    transfers: Callable[[httpx.BaseTransport], Transfers], tmp_path: Path
) -> None:
    file, back = write_doubling(tmp_path / "new.onnx", 5.0), tmp_path / "back.onnx"
    flaky = Flaky()
    over = transfers(flaky)
    sent = over.upload("new", file)
    assert sent["version"] == 1
    assert flaky.lost >= 1
    assert over.download("new", None, back)["id"] == sent["id"]
    assert back.read_bytes() == file.read_bytes()


def test_an_upload_that_was_killed_goes_on_where_it_was(
    transfers: Callable[[httpx.BaseTransport], Transfers], tmp_path: Path
) -> None:
    file = write_doubling(tmp_path / "new.onnx", 5.0)

    class Killed(BaseException):
        pass

    class Dying(httpx.HTTPTransport):
        puts: list[Any] = []  # noqa: RUF012  of this test alone
        left = 1

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "PUT":
                self.puts.append(request.url.params["offset"])
                self.left -= 1
                if self.left < 0:
                    raise Killed
            return super().handle_request(request)

    with pytest.raises(Killed):
        transfers(Dying()).upload("new", file)
    Dying.left = 1_000
    assert transfers(Dying()).upload("new", file)["version"] == 1
    assert Dying.puts[:4] == ["0", str(CHUNK), str(CHUNK), str(2 * CHUNK)]


def test_a_file_that_comes_damaged_is_not_kept(
    transfers: Callable[[httpx.BaseTransport], Transfers], market: Market, tmp_path: Path
) -> None:
    size = market.model.size_bytes
    market.app.objects.put(b"x" * size, market.model.ref.uri)
    with pytest.raises(Exception, match="registered"):
        transfers(httpx.HTTPTransport()).download("doubling", None, tmp_path / "back.onnx")
    assert list(tmp_path.glob("back.onnx*")) == []
    market.app.objects.put(b"", market.model.ref.uri)
    with pytest.raises(Unavailable, match="again and again"):
        transfers(httpx.HTTPTransport()).download("doubling", None, tmp_path / "back.onnx")


def test_an_upload_that_an_earlier_request_is_completing_is_waited_for(
    transfers: Callable[[httpx.BaseTransport], Transfers], market: Market, tmp_path: Path
) -> None:
    asked: list[int] = []

    class Busy(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/complete"):
                with market.app.uow() as uow:
                    upload_id = UploadId(UUID(request.url.path.split("/")[-2]))
                    uow.model_uploads.claim(upload_id, utc_now() + timedelta(hours=1 if len(asked) < 2 else -1))
                    uow.commit()
                answer = super().handle_request(request)
                asked.append(answer.status_code)
                return answer
            return super().handle_request(request)

    sent = transfers(Busy()).upload("new", write_doubling(tmp_path / "new.onnx", 5.0))
    assert (sent["version"], asked) == (1, [409, 409, 201])


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_download_is_gone_on_with_after_a_market_that_was_busy(
    transfers: Callable[[httpx.BaseTransport], Transfers], market: Market, tmp_path: Path, status: int
) -> None:
    left = [status] * 3

    class Busy(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if left and request.url.path.endswith("/file"):
                return httpx.Response(left.pop(), text="<html>busy</html>")
            return super().handle_request(request)

    back = tmp_path / "back.onnx"
    transfers(Busy()).download("doubling", None, back)
    assert back.read_bytes() == b"".join(market.app.objects.chunks(market.model.ref.uri))
    left += [status] * 100
    with pytest.raises(Refused) as refused:
        transfers(Busy()).download("doubling", None, tmp_path / "again.onnx")
    assert refused.value.code == f"http_{status}"
    assert list(tmp_path.glob("again.onnx")) == []
