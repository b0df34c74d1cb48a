"""Files that users keep: what goes when its time is over, and what is left by who died."""

from dataclasses import replace
from datetime import timedelta

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.errors import NotFound
from backend.domain.files import RETENTION, UPLOAD_TIMEOUT, file_name, parse_file_name
from backend.domain.ids import FileId
from backend.services import files, log
from tests.integration.services.batching import Batching, lines
from tests.integration.services.earning import ADMIN
from tests.market import Market, Statements


def test_a_file_is_gone_when_its_time_is_over_and_so_is_its_content(batching: Batching, market: Market) -> None:
    name = batching.file(lines(1))
    later = utc_now() + RETENTION
    assert files.show_file(market.app.uow(), utc_now(), name, market.buyer).size_bytes > 0
    with pytest.raises(NotFound):
        files.show_file(market.app.uow(), later, name, market.buyer)
    assert market.app.objects.exists(f"files/{parse_file_name(name)}")
    assert not files.sweep(market.app.uow(), later, market.app.objects)
    assert not market.app.objects.exists(f"files/{parse_file_name(name)}")


def test_a_file_that_an_open_batch_reads_stays_until_the_batch_has_ended(batching: Batching, market: Market) -> None:
    batch = batching.show(batching.submit(lines(1)))
    key, later = f"files/{batch.batch.input_file_id}", utc_now() + RETENTION
    files.sweep(market.app.uow(), later, market.app.objects)
    assert market.app.objects.exists(key)
    name = file_name(batch.batch.input_file_id)
    assert files.show_file(market.app.uow(), later, name, market.buyer).id == batch.batch.input_file_id
    _, content = files.read_file(market.app.uow(), later, market.app.objects, name, market.buyer)
    assert b"".join(content).splitlines() == [lines(1)[0].encode()]
    assert len(files.list_files(market.app.uow(), later, market.buyer.account_id).files) == 1
    market.node("a", slots=4)
    batching.run(f"batch_{batch.batch.id.hex}", market.executor())
    with pytest.raises(NotFound):
        files.show_file(market.app.uow(), later, name, market.buyer)
    files.sweep(market.app.uow(), later, market.app.objects)
    assert not market.app.objects.exists(key)


def test_an_upload_that_never_ended_is_swept_and_cannot_be_read_before(batching: Batching, market: Market) -> None:
    name, now = batching.file(lines(1)), utc_now()
    with market.app.uow() as uow:
        whole = uow.files.find(parse_file_name(name), now)
        assert whole is not None
        begun = replace(whole, id=FileId(new_id()), ready_at=None)
        uow.files.add([begun])
        uow.commit()
    assert [file.id for file in files.list_files(market.app.uow(), now, market.buyer.account_id).files] == [whole.id]
    files.sweep(market.app.uow(), now, market.app.objects)
    files.sweep(market.app.uow(), now + UPLOAD_TIMEOUT + timedelta(seconds=1), market.app.objects)
    with market.app.uow() as uow:
        assert not uow.files.make_ready(begun.id, 1, now)
        assert uow.files.kept(market.buyer.account_id).files == 1


def test_an_admin_who_deletes_anothers_file_is_told_in_the_log(batching: Batching, market: Market) -> None:
    name = batching.file(lines(1))
    files.delete_file(market.app.uow(), utc_now(), name, ADMIN)
    [entry] = log.list_entries(market.app.uow(), action="file.delete")
    assert entry.subject == f"file {parse_file_name(name)}"


@pytest.mark.usefixtures("books_in_order")
def test_each_step_of_a_batch_takes_as_many_statements_for_few_items_as_for_many(
    batching: Batching, market: Market
) -> None:
    market.node("a", slots=8)
    seen = []
    for size in (5, 400):
        name, executor = batching.submit(lines(size)), market.executor()
        taken = {}
        for step in ("validate", "place", "collect"):
            batching.due()
            with Statements(market.app.engine) as statements:
                batching.step(name)
            taken[step] = statements.count
            market.run(executor)
        assert batching.show(name).batch.completed == size
        seen.append(taken)
    assert seen[0] == seen[1]
    assert all(count <= limit for count, limit in zip(seen[0].values(), (6, 30, 16), strict=True)), seen[0]
