"""Files and batches through an unmodified `openai` client, on a market that really runs them."""

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from agents.engines.onnx import OnnxEngine
from agents.inference.claims import ClaimKeeper
from agents.inference.models import LoadedModels
from agents.inference.runner import UnitRunner
from agents.model_cache import ModelCache
from agents.work_port import DirectWorkPort
from backend.api.limits import BODY_BYTES_MAX
from backend.bootstrap import Swarmex, utc_now
from backend.domain.files import FILES_PER_ACCOUNT_MAX
from backend.domain.work import Dispatch
from backend.services import allocation, batch_run, files, relay, settlement
from tests.integration.api.callers import TIMEOUT_S, Callers
from tests.integration.api.supply import Supply, node_functions
from tests.waiting import until

TURN_S = 0.02
ENDPOINT: Any = "/v2/models"  # which the client's types do not know
HOUR: Any = "1h"


def line(custom_id: str, value: float = 1.0, model: str = "scale", **changes: object) -> str:
    """One request of four numbers, for the model that doubles them."""
    body = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [value, 2.0, 3.0, 4.0]}]}
    said = {"custom_id": custom_id, "method": "POST", "url": f"/v2/models/{model}/infer", "body": body}
    return json.dumps(said | changes)


def lines(count: int) -> bytes:
    """That many of them."""
    return "\n".join(line(f"r-{n}", float(n)) for n in range(count)).encode()


def stored(market: Swarmex) -> list[str]:
    """Keys of the files that lie in the object store."""
    kept = dict(market.objects.keys())
    return [key for key in kept if key.startswith("files/")]


@pytest.fixture
def client(callers: Callers, url: str) -> Iterator[OpenAI]:
    """The client that people have."""
    with OpenAI(base_url=f"{url}/v1", api_key=callers.user.key.secret, max_retries=0, timeout=TIMEOUT_S) as made:
        yield made


@pytest.fixture
def working(market: Swarmex, supply: Supply, tmp_path: Path) -> Iterator[None]:
    """The node runs what it is sent, and the market settles it and works on batches."""
    port = DirectWorkPort(node_functions(market), supply.agent_id, market.bus)
    claims = ClaimKeeper(port, every_s=0.2)
    runner = UnitRunner(port, LoadedModels(ModelCache(tmp_path / "runs", market.objects), OnnxEngine()), claims)
    stopped = threading.Event()

    def run(sent: Sequence[Dispatch]) -> None:
        for one in sent:
            runner.run(one.unit_id)

    def turn() -> None:
        allocation.dispatch_more(market.uow(), utc_now())
        relay.relay(market.uow(), utc_now(), run)
        settlement.settle_finished(market.uow(), utc_now())
        batch_run.work(market.uow, utc_now(), market.objects)

    def keep_turning() -> None:
        while not stopped.wait(TURN_S):
            turn()

    claims.start()
    thread = threading.Thread(target=keep_turning, daemon=True)
    thread.start()
    yield
    stopped.set()
    thread.join(TIMEOUT_S)
    claims.stop()


def test_an_unmodified_client_sends_a_file_runs_it_and_reads_what_came_out(
    client: OpenAI, working: None, tmp_path: Path
) -> None:
    path = tmp_path / "many.jsonl"
    path.write_bytes(lines(5))
    sent = client.files.create(file=path, purpose="batch")
    assert (sent.id[:5], sent.filename, sent.bytes, sent.purpose) == ("file-", "many.jsonl", len(lines(5)), "batch")
    assert client.files.content(sent.id).content == lines(5)
    batch = client.batches.create(
        input_file_id=sent.id,
        endpoint=ENDPOINT,
        completion_window="24h",
        metadata={"who": "me"},
    )
    assert (batch.status, batch.metadata) == ("validating", {"who": "me"})
    until(lambda: client.batches.retrieve(batch.id).status == "completed", "the batch completes")
    ended = client.batches.retrieve(batch.id)
    assert ended.request_counts is not None
    assert ended.request_counts.model_dump() == {"total": 5, "completed": 5, "failed": 0}
    assert ended.output_file_id is not None
    told = [json.loads(row) for row in client.files.content(ended.output_file_id).text.splitlines()]
    assert {row["custom_id"]: row["response"]["body"]["outputs"][0]["data"][0] for row in told} == {
        f"r-{n}": 2.0 * n for n in range(5)
    }
    assert ended.error_file_id is None
    with pytest.raises(openai.ConflictError) as refused:
        client.batches.cancel(batch.id)
    assert refused.value.code == "batch_ended"


def test_what_a_batch_waits_for_is_told_to_who_looks_at_it(client: OpenAI, working: None) -> None:
    sent = client.files.create(file=("a.jsonl", lines(1)), purpose="batch")
    asked = {"swarmex_region": "atlantis"}
    batch = client.batches.create(input_file_id=sent.id, endpoint=ENDPOINT, completion_window=HOUR, metadata=asked)
    assert (batch.model_extra or {})["swarmex_waits_for"] is None

    def waits_for() -> dict[str, str] | None:
        told: dict[str, str] | None = (client.batches.retrieve(batch.id).model_extra or {})["swarmex_waits_for"]
        return told

    until(lambda: waits_for() is not None, "its orders could not be placed")
    told = waits_for()
    assert told is not None
    assert (told["code"], "in region atlantis" in told["message"]) == ("no_capacity", True)
    assert (next(iter(client.batches.list())).model_extra or {})["swarmex_waits_for"] == told
    client.batches.cancel(batch.id)


def test_the_result_url_works_without_a_key_until_it_expires_and_for_nothing_else(
    client: OpenAI, working: None, callers: Callers, market: Swarmex
) -> None:
    sent = client.files.create(file=("a.jsonl", lines(1)), purpose="batch")
    batch = client.batches.create(input_file_id=sent.id, endpoint=ENDPOINT, completion_window=HOUR)
    until(lambda: client.batches.retrieve(batch.id).status == "completed", "the batch completes")
    url = (client.batches.retrieve(batch.id).model_extra or {})["swarmex_result_url"]
    assert json.loads(httpx.get(url).text)["custom_id"] == "r-0"
    path, _, query = url.partition("?")
    expires, signature = (pair.partition("=")[2] for pair in query.split("&"))
    other = path.replace(path.split("/")[-2], sent.id)
    for wrong, code in (
        (f"{path}?expires={int(expires) + 1}&signature={signature}", "invalid_signature"),
        (f"{path}?expires={expires}&signature=0{signature[1:]}0", "invalid_signature"),
        (f"{other}?expires={expires}&signature={signature}", "invalid_signature"),
    ):
        answer = httpx.get(wrong)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, code)
    assert httpx.get(path).status_code == 401
    assert callers.provider.get(httpx.URL(path).path).status_code == 404
    assert callers.admin.get(httpx.URL(path).path).status_code == 200


def test_lists_page_by_themselves_and_show_only_ones_own(client: OpenAI, callers: Callers, url: str) -> None:
    names = [client.files.create(file=(f"{n}.jsonl", lines(1)), purpose="batch").id for n in range(5)]
    assert [file.id for file in client.files.list(limit=2)] == names[::-1]
    assert [file.id for file in client.files.list(limit=2, order="asc", purpose="batch")] == names
    assert list(client.files.list(purpose="vision")) == []
    made = [client.batches.create(input_file_id=name, endpoint=ENDPOINT, completion_window="24h").id for name in names]
    assert [batch.id for batch in client.batches.list(limit=2)] == made[::-1]
    with OpenAI(base_url=f"{url}/v1", api_key=callers.provider.key.secret, max_retries=0) as other:
        assert [*other.files.list(), *other.batches.list()] == []
        for ask in (other.files.retrieve, other.files.content, other.files.delete):
            with pytest.raises(openai.NotFoundError):
                ask(names[0])
        for look in (other.batches.retrieve, other.batches.cancel):
            with pytest.raises(openai.NotFoundError):
                look(made[0])
    assert client.batches.cancel(made[0]).status == "cancelling"
    with pytest.raises(openai.ConflictError) as refused:
        client.files.delete(names[0])
    assert refused.value.code == "file_in_use"


def test_a_deleted_file_is_gone_and_its_content_is_swept(client: OpenAI, market: Swarmex) -> None:
    sent = client.files.create(file=("a.jsonl", lines(1)), purpose="batch")
    assert client.files.delete(sent.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(sent.id)
    assert len(stored(market)) == 1
    files.sweep(market.uow(), utc_now(), market.objects)
    assert stored(market) == []


def test_a_batch_with_wrong_lines_fails_and_says_which(client: OpenAI, working: None, callers: Callers) -> None:
    content = "\n".join([line("a"), "{", line("a"), line("b", model="nobody")]).encode()
    sent = client.files.create(file=("a.jsonl", content), purpose="batch")
    batch = client.batches.create(input_file_id=sent.id, endpoint=ENDPOINT, completion_window="24h")
    until(lambda: client.batches.retrieve(batch.id).status == "failed", "the batch fails")
    errors = client.batches.retrieve(batch.id).errors
    assert errors is not None
    assert [(e.line, e.code) for e in errors.data or []] == [
        (2, "invalid_json"),
        (3, "duplicate_custom_id"),
        (4, "unknown_model"),
    ]
    wallet = callers.user.get("/api/v1/accounts/me").json()
    assert (wallet["reserved"], wallet["wallet"]) == ("0.000000000", "100.000000000")


def test_the_secret_of_webhooks_is_the_accounts_and_shown_where_there_is_one(client: OpenAI, callers: Callers) -> None:
    sent = client.files.create(file=("a.jsonl", lines(1)), purpose="batch")
    hook = {"swarmex_webhook": "https://example.com/hook"}
    told = client.batches.create(input_file_id=sent.id, endpoint=ENDPOINT, completion_window="24h", metadata=hook)
    secret = callers.user.get("/api/v1/webhooks/secret").json()["secret"]
    assert (told.model_extra or {})["swarmex_webhook_secret"] == secret
    assert secret.startswith("whsec_")
    assert callers.provider.get("/api/v1/webhooks/secret").json()["secret"] != secret
    silent = client.batches.create(input_file_id=sent.id, endpoint=ENDPOINT, completion_window="24h")
    assert (silent.model_extra or {})["swarmex_webhook_secret"] is None


def test_the_same_idempotency_key_makes_one_batch(client: OpenAI) -> None:
    sent = client.files.create(file=("a.jsonl", lines(1)), purpose="batch")
    made = {
        client.batches.create(
            input_file_id=sent.id,
            endpoint=ENDPOINT,
            completion_window="24h",
            metadata={"a": "b"},
            extra_headers={"Idempotency-Key": "once"},
        ).id
        for _ in range(2)
    }
    assert len(made) == 1


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"files": {"file": ("a", b"x")}, "data": {"purpose": "assistants"}}, 422, "invalid_purpose"),
        ({"files": {"file": ("a", b"x")}}, 422, "missing_field"),
        ({"files": {"other": ("a", b"x")}, "data": {"purpose": "batch"}}, 422, "missing_field"),
        ({"files": {"file": ("a", b"x")}, "data": {"purpose": "x" * 5_000}}, 413, "too_large"),
        ({"json": {"purpose": "batch"}}, 422, "invalid_form"),
        ({"files": [("file", ("a.jsonl", b"{}")), ("file", ("b.jsonl", b"{}"))]}, 422, "invalid_form"),
        ({"content": b"--x", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 422, "invalid_form"),
        ({"content": b"--x\r\n" * 90, "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 422, None),
        ({"content": b"", "headers": {"Content-Type": "multipart/form-data"}}, 422, "invalid_form"),
    ],
)
def test_an_upload_that_is_none_is_refused_in_openais_words(
    callers: Callers, sent: dict[str, object], status: int, code: str | None
) -> None:
    answer = callers.user.post("/v1/files", **sent)  # type: ignore[arg-type]  # what httpx takes
    error = answer.json()["error"]
    assert answer.status_code == status
    assert set(error) == {"message", "type", "param", "code"}
    assert code in (None, error["code"])
    assert callers.user.get("/v1/files").json()["data"] == []


@pytest.mark.parametrize("declared", [True, False])
def test_a_file_above_the_limit_is_told_the_limit_of_files(
    callers: Callers, monkeypatch: pytest.MonkeyPatch, declared: bool
) -> None:
    most = BODY_BYTES_MAX + 1_000
    monkeypatch.setattr("backend.api.exchange.UPLOAD_BYTES_MAX", most)
    form = b"--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n" + b"x" * most
    content = form if declared else iter([form[:most], form[most:]])
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = callers.user.post("/v1/files", content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert f"at most {most} bytes" in answer.text


def test_an_account_keeps_only_so_many_files(client: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    assert FILES_PER_ACCOUNT_MAX >= 100
    monkeypatch.setattr("backend.domain.files.FILES_PER_ACCOUNT_MAX", 1)
    client.files.create(file=("a.jsonl", lines(1)), purpose="batch")
    with pytest.raises(openai.APIStatusError) as refused:
        client.files.create(file=("b.jsonl", lines(1)), purpose="batch")
    assert (refused.value.status_code, refused.value.code) == (413, "too_many_files")


def test_a_large_file_goes_through_without_being_held(client: OpenAI) -> None:
    content = lines(200) + b"\n" + b" " * (20 << 20)  # above what any other request may send
    assert client.files.create(file=("a.jsonl", content), purpose="batch").bytes == len(content)
