"""Files that users keep: names, limits and how long they stay."""

from datetime import timedelta
from uuid import UUID

import pytest

from backend.domain.errors import Invalid, NotFound, TooLarge
from backend.domain.files import (
    ACCOUNT_BYTES_MAX,
    FILE_BYTES_MAX,
    FILES_PER_ACCOUNT_MAX,
    RETENTION,
    check_room,
    check_upload,
    file_name,
    parse_expiry,
    parse_file_name,
    parse_name,
)

ID = UUID("0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b")


def test_a_files_name_is_its_id_and_reads_back() -> None:
    assert file_name(ID) == "file-0190a1b2c3d47e5f8a6b7c8d9e0f1a2b"
    assert parse_file_name(file_name(ID)) == ID
    assert parse_name(f"batch_{ID.hex}", "batch_", "batch") == ID


@pytest.mark.parametrize(
    "name", ["", "file-", f"file-{ID}", ID.hex, f"batch_{ID.hex}", "file-" + "g" * 32, "file-\x00"]
)
def test_what_no_file_can_be_called_is_not_found(name: str) -> None:
    with pytest.raises(NotFound) as refused:
        parse_file_name(name, "input_file_id")
    assert (refused.value.code, refused.value.field) == ("unknown_file", "input_file_id")


@pytest.mark.parametrize(
    ("purpose", "filename", "field"),
    [("assistants", "a", "purpose"), ("batch_output", "a", "purpose"), ("batch", "", "file"), ("batch", "a\n", "file")],
)
def test_only_inputs_of_batches_with_a_name_are_taken(purpose: str, filename: str, field: str) -> None:
    check_upload("batch", "many.jsonl")
    with pytest.raises(Invalid) as refused:
        check_upload(purpose, filename)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("files", "size", "more", "code"),
    [
        (0, 0, FILE_BYTES_MAX + 1, "too_large"),
        (FILES_PER_ACCOUNT_MAX, 0, 1, "too_many_files"),
        (1, ACCOUNT_BYTES_MAX, 1, "too_many_bytes"),
    ],
)
def test_an_account_keeps_so_many_files_and_bytes(files: int, size: int, more: int, code: str) -> None:
    check_room(FILES_PER_ACCOUNT_MAX - 1, ACCOUNT_BYTES_MAX - FILE_BYTES_MAX, FILE_BYTES_MAX)
    with pytest.raises(TooLarge) as refused:
        check_room(files, size, more)
    assert refused.value.code == code


def test_a_file_stays_as_long_as_is_asked_for() -> None:
    assert parse_expiry(None) == RETENTION
    assert parse_expiry("3600") == timedelta(hours=1)
    for wrong in ("3599", "2592001", "1e4", "-1", "", "\uff19999", "1" * 40):
        with pytest.raises(Invalid):
            parse_expiry(wrong)
