"""Model files in chunks: resumed, repeated, wrong, given up, expired; nothing of what is refused is kept."""

import hashlib
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from backend.bootstrap import utc_now
from backend.domain.access import Principal, Role
from backend.domain.errors import SwarmexError
from backend.domain.ids import UploadId
from backend.domain.registry import ModelFilter
from backend.domain.uploads import FOLDER, KEPT, OPEN_MAX, Upload, digest_header
from backend.services import backup, log, model_changes, model_inspection, model_uploads, models
from backend.storage.ids import new_id
from backend.storage.models import Model
from backend.storage.objects import ObjectStore
from tests.backups import make
from tests.integration.services.registering import register, with_key
from tests.market import Market
from tests.onnx_files import write_doubling

CHUNK = 50


class Sender:
    """Somebody who uploads a file in small chunks."""

    def __init__(self, market: Market, content: bytes, principal: Principal, name: str = "sent") -> None:
        self.market = market
        self.app = market.app
        self.content = content
        self.principal = principal
        self.name = name

    def begin(self, sha256: str | None = None) -> Upload:
        found = sha256 or hashlib.sha256(self.content).hexdigest()
        size = len(self.content)
        return model_uploads.begin_upload(self.app.uow(), utc_now(), self.principal, self.name, size, found)

    def put(self, upload: Upload, offset: int, body: bytes | None = None, digest: str | None = None) -> Upload:
        body = self.content[offset : offset + CHUNK] if body is None else body
        digest = digest or digest_header(hashlib.sha256(body).hexdigest())
        uow, objects = self.app.uow(), self.app.objects
        return model_uploads.put_chunk(uow, utc_now(), self.principal, objects, upload.id, offset, body, digest)

    def put_all(self, upload: Upload) -> Upload:
        while upload.received_bytes < upload.size_bytes:
            upload = self.put(upload, upload.received_bytes)
        return upload

    def complete(self, upload: Upload) -> Model:
        return model_uploads.complete_upload(self.app.uow(), utc_now(), self.principal, self.app.objects, upload.id)

    def refused(self, call: object, *arguments: object) -> tuple[str, str | None]:
        assert callable(call)
        with pytest.raises(SwarmexError) as refused:
            call(*arguments)
        return refused.value.code, refused.value.accepted

    def parts(self) -> list[str]:
        return [key for key in sorted(dict(self.app.objects.keys())) if key.startswith(FOLDER)]


@pytest.fixture
def sender(market: Market, tmp_path: Path) -> Sender:
    """A provider with a model file of some chunks."""
    content = write_doubling(tmp_path / "sent.onnx", 7.0).read_bytes()
    return Sender(market, content, with_key(market, "sender"))


def test_a_file_in_chunks_becomes_the_next_version_of_its_name(sender: Sender) -> None:
    upload = sender.put_all(sender.begin())
    model = sender.complete(upload)
    assert (model.ref.name, model.ref.version) == ("sent", 1)
    assert model.ref.checksum == sender.app.objects.checksum(model.ref.uri) == upload.sha256
    assert model.profile.us_per_call > 0
    assert models.get_model(sender.app.uow(), "sent").owner_id == sender.principal.account_id
    assert sender.parts() == []
    assert sender.refused(sender.complete, upload)[0] == "unknown_upload"
    assert sender.refused(sender.begin)[0] == "model_registered"
    told = [entry.action for entry in log.list_entries(sender.app.uow())]
    assert told[:2] == ["model.register", "upload.begin"]


def test_after_an_interruption_the_same_wish_goes_on_where_it_was(sender: Sender) -> None:
    upload = sender.begin()
    sender.put(upload, 0)
    again = sender.begin()
    assert (again.id, again.received_bytes) == (upload.id, CHUNK)
    assert sender.put(again, 0).received_bytes == CHUNK, "a repeat changes nothing"
    assert sender.refused(sender.put, again, 2 * CHUNK) == ("wrong_offset", str(CHUNK))
    assert sender.refused(sender.put, again, 1) == ("wrong_offset", str(CHUNK))
    assert sender.refused(sender.put, again, 0, b"another") == ("wrong_offset", str(CHUNK))
    assert sender.refused(sender.complete, again)[0] == "upload_incomplete"
    assert len(sender.parts()) == 1
    done = sender.put_all(again)
    last = done.size_bytes - done.size_bytes % CHUNK
    assert sender.put(done, last).received_bytes == done.size_bytes, "a repeat of the last one neither"
    assert sender.complete(done).ref.version == 1


def test_a_chunk_that_is_damaged_too_large_or_too_much_is_not_taken(sender: Sender) -> None:
    upload = sender.begin()
    wrong = digest_header(hashlib.sha256(b"something else").hexdigest())
    assert sender.refused(sender.put, upload, 0, b"chunk", wrong)[0] == "digest_mismatch"
    assert sender.refused(sender.put, upload, 0, b"")[0] == "too_large"
    assert sender.refused(sender.put, upload, 0, b"x" * (upload.size_bytes + 1))[0] == "too_large"
    assert model_uploads.show_upload(sender.app.uow(), sender.principal, upload.id).received_bytes == 0
    assert sender.parts() == []


def test_chunks_for_one_place_that_come_at_once_count_once(sender: Sender) -> None:
    upload = sender.begin()
    outcomes: list[object] = []

    def put(body: bytes) -> None:
        try:
            outcomes.append(sender.put(upload, 0, body).received_bytes)
        except SwarmexError as error:
            outcomes.append(error.code)

    bodies = [sender.content[:CHUNK]] * 3 + [b"y" * CHUNK] * 3
    threads = [threading.Thread(target=put, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == [str(CHUNK)] * 3 + ["wrong_offset"] * 3
    assert len(sender.parts()) == 1


@pytest.mark.parametrize("wrong", ["content", "checksum", "name"])
def test_a_wrong_file_is_refused_with_the_reason_and_nothing_is_kept(
    sender: Sender, wrong: str, tmp_path: Path
) -> None:
    if wrong == "content":
        sender.content = b"this is no model"
    upload = sender.put_all(sender.begin("0" * 64 if wrong == "checksum" else None))
    if wrong == "name":  # somebody else took it meanwhile
        register(sender.market, tmp_path, "sent", 9.0, with_key(sender.market, "other"))
    code, accepted = sender.refused(sender.complete, upload)
    assert code == {"content": "invalid_model_file", "checksum": "checksum_mismatch", "name": "not_the_owner"}[wrong]
    assert accepted
    assert sender.parts() == []
    assert sender.refused(sender.complete, upload)[0] == "unknown_upload"
    assert len(dict(sender.app.objects.keys())) == (2 if wrong == "name" else 1), "the market's own"
    assert log.list_entries(sender.app.uow(), action="upload.refuse")


def test_uploads_are_their_owners_and_few(sender: Sender) -> None:
    upload = sender.begin()
    other = Sender(sender.market, sender.content, with_key(sender.market, "other"))
    for call, arguments in ((other.put, (upload, 0)), (other.complete, (upload,))):
        assert other.refused(call, *arguments)[0] == "unknown_upload"
    admin = with_key(sender.market, "boss", Role.ADMIN)
    assert model_uploads.show_upload(sender.app.uow(), admin, upload.id) == upload
    for number in range(OPEN_MAX - 1):
        sender.name = f"another-{number}"
        sender.begin()
    sender.name = "one-too-many"
    assert sender.refused(sender.begin)[0] == "too_many_uploads"
    sender.put(upload, 0)
    model_uploads.abandon_upload(sender.app.uow(), utc_now(), sender.principal, sender.app.objects, upload.id)
    assert sender.parts() == []
    assert sender.begin().received_bytes == 0


def test_what_is_being_completed_does_not_expire_meanwhile(sender: Sender) -> None:
    upload, objects = sender.begin(), sender.app.objects
    with sender.app.uow() as uow:
        uow.model_uploads.claim(upload.id, upload.expires_at + timedelta(seconds=1))
        uow.commit()
    assert model_uploads.expire_uploads(sender.app.uow(), upload.expires_at, objects) == 0
    assert model_uploads.expire_uploads(sender.app.uow(), upload.expires_at + timedelta(seconds=1), objects) == 1


def test_what_nobody_goes_on_with_expires(sender: Sender) -> None:
    upload = sender.begin()
    sender.name = "newer"
    newer = sender.begin()
    put = sender.put(upload, 0)
    with sender.app.uow() as uow:
        gone_on = uow.model_uploads.find(upload.id)
    assert gone_on is not None
    assert gone_on.expires_at == put.expires_at > upload.expires_at

    def expire(at: timedelta) -> int:
        return model_uploads.expire_uploads(sender.app.uow(), newer.created_at + at, sender.app.objects)

    assert expire(KEPT - timedelta(seconds=1)) == 0
    assert expire(KEPT) == 1, "the one that no chunk came for"
    assert len(sender.parts()) == 1
    assert expire(2 * KEPT) == 1
    assert sender.parts() == []
    assert sender.refused(sender.put, upload, CHUNK)[0] == "unknown_upload"
    assert len(log.list_entries(sender.app.uow(), action="upload.expire")) == 2


def test_lost_chunks_are_told_and_a_new_upload_is_possible(sender: Sender) -> None:
    upload = sender.put_all(sender.begin())
    sender.app.objects.delete(sender.parts()[1])
    assert sender.refused(sender.complete, upload)[0] == "chunks_lost"
    assert sender.complete(sender.put_all(sender.begin())).ref.version == 1


def test_what_is_registered_or_deleted_is_told_before_it_is_sent(sender: Sender, tmp_path: Path) -> None:
    register(sender.market, tmp_path, "sent", 7.0, sender.principal)
    assert sender.refused(sender.begin) == ("model_registered", "another file")
    model_changes.delete_model(sender.app.uow(), utc_now(), sender.principal, "sent", 1)
    assert sender.refused(sender.begin) == ("model_deleted", "restore version 1")
    with pytest.raises(SwarmexError) as refused:
        Sender(sender.market, b"x", with_key(sender.market, "other")).begin()
    assert refused.value.code == "not_the_owner"


def test_an_unknown_upload_is_unknown(sender: Sender) -> None:
    with pytest.raises(SwarmexError, match="no upload"):
        model_uploads.show_upload(sender.app.uow(), sender.principal, UploadId(new_id()))


def test_a_file_that_takes_for_ever_to_look_into_is_refused(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_inspection, "INSPECT_S", 0.01)
    upload = sender.put_all(sender.begin())
    with pytest.raises(SwarmexError, match="took longer") as refused:
        sender.complete(upload)
    assert refused.value.code == "invalid_model_file"


def test_a_backup_takes_no_chunks_and_does_not_mind_what_is_dropped_meanwhile(sender: Sender, tmp_path: Path) -> None:
    objects = sender.app.objects
    sender.put(sender.begin(), 0)
    objects.put(b"somebody's", "results/1")

    def drop(what: str, done: int, _total: int | None) -> None:
        if (what, done) == (backup.OBJECTS, 0):
            objects.delete("results/1")

    manifest = make(sender.market, tmp_path / "backup", drop)
    assert [key for key in manifest.objects if key.startswith(FOLDER)] == []
    assert len(manifest.objects) == 1


def test_two_completions_at_once_make_one_version(sender: Sender) -> None:
    upload = sender.put_all(sender.begin())
    outcomes: list[object] = []

    def complete() -> None:
        try:
            outcomes.append(sender.complete(upload).ref.version)
        except SwarmexError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=complete) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 in outcomes
    assert set(outcomes) <= {1, "unknown_upload", "upload_completing"}
    assert len(models.search_models(sender.app.uow(), ModelFilter(prefix="sent"))) == 1
    assert sender.parts() == []
    assert log.list_entries(sender.app.uow(), action="upload.lose") == []


def test_one_at_a_time_completes_an_upload(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = sender.put_all(sender.begin())
    looked: list[Path] = []

    def inspect(path: Path) -> object:
        looked.append(path)
        if len(looked) == 1:
            assert sender.refused(sender.complete, upload)[0] == "upload_completing"
        return model_inspection.inspect_apart(path)

    monkeypatch.setattr(model_uploads, "inspect_apart", inspect)
    assert sender.complete(upload).ref.version == 1
    assert len(looked) == 1


def test_an_upload_whose_completion_was_killed_is_completed_by_another_after_a_while(sender: Sender) -> None:
    upload, now = sender.put_all(sender.begin()), utc_now()
    with sender.app.uow() as uow:
        uow.model_uploads.claim(upload.id, now + upload.completed_within)
        uow.commit()
    assert sender.refused(sender.complete, upload)[0] == "upload_completing"
    later, objects = now + upload.completed_within, sender.app.objects
    assert model_uploads.complete_upload(sender.app.uow(), later, sender.principal, objects, upload.id).ref.version == 1


def test_a_completion_that_breaks_lets_go_of_its_own_claim_only(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = sender.put_all(sender.begin())

    def breaks_late(_: Path) -> object:
        with sender.app.uow() as uow:  # another has begun, since this one took too long
            uow.model_uploads.claim(upload.id, utc_now() + timedelta(hours=1))
            uow.commit()
        raise OSError("no answer")

    monkeypatch.setattr(model_uploads, "inspect_apart", breaks_late)
    with pytest.raises(OSError, match="no answer"):
        sender.complete(upload)
    assert sender.refused(sender.complete, upload)[0] == "upload_completing"


def test_an_upload_whose_completion_broke_may_be_completed_at_once(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = sender.put_all(sender.begin())

    def breaks(_: Path) -> object:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(model_uploads, "inspect_apart", breaks)
        with pytest.raises(OSError, match="space"):
            sender.complete(upload)
    assert sender.complete(upload).ref.version == 1


@pytest.mark.parametrize("end", ["complete", "abandon", "refuse"])
def test_chunks_that_the_store_does_not_drop_now_go_when_uploads_expire(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    upload = sender.put_all(sender.begin("0" * 64 if end == "refuse" else None))
    objects = sender.app.objects

    def fails(_: ObjectStore, folder: str) -> None:
        raise OSError(f"no answer about {folder}")

    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "delete_folder", fails)
        if end == "complete":
            assert sender.complete(upload).ref.version == 1
        elif end == "refuse":
            assert sender.refused(sender.complete, upload)[0] == "checksum_mismatch"
        else:
            model_uploads.abandon_upload(sender.app.uow(), utc_now(), sender.principal, objects, upload.id)
    assert sender.parts()
    assert model_uploads.expire_uploads(sender.app.uow(), utc_now(), objects) == 1
    assert sender.parts() == []
    assert sender.refused(sender.complete, upload)[0] == "unknown_upload"
