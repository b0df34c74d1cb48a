"""Files that users keep with the market: what may be in one, how long it stays, and the names that clients know."""

from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from backend.domain.errors import Invalid, NotFound, TooLarge, unknown_choice
from backend.domain.ids import FileId

FILE_BYTES_MAX = 200 << 20
FILES_PER_ACCOUNT_MAX = 1_000
ACCOUNT_BYTES_MAX = 4 << 30
FILENAME_CHARS_MAX = 255
RETENTION = timedelta(days=30)
EXPIRES_AFTER_S_MIN, EXPIRES_AFTER_S_MAX = 3_600, 30 * 86_400
UPLOAD_TIMEOUT = timedelta(hours=1)  # an upload that was begun so long ago has failed
PREFIX = "file-"


class FilePurpose(StrEnum):
    """What a file is for: its user sends batches, the market writes their outputs."""

    BATCH = "batch"
    BATCH_OUTPUT = "batch_output"


def file_name(file_id: UUID) -> str:
    """The id as clients know it."""
    return f"{PREFIX}{file_id.hex}"


def parse_file_name(name: str, field: str = "file_id") -> FileId:
    """The inverse; raises NotFound for what no file can be called."""
    return FileId(_parse(name, PREFIX, "file", field))


def parse_name(name: str, prefix: str, what: str) -> UUID:
    """The id in a name with that prefix; raises NotFound."""
    return _parse(name, prefix, what, f"{what}_id")


def _parse(name: str, prefix: str, what: str, field: str) -> UUID:
    digits = name.removeprefix(prefix)
    try:
        if digits != name and len(digits) == 32 and digits.isascii() and digits.isalnum():
            return UUID(hex=digits)
    except ValueError:
        pass
    raise NotFound(what, name[:60] if name.isprintable() else "of that name", field=field)


def check_upload(purpose: str, filename: str) -> None:
    """Refuse what users cannot upload; raises Invalid."""
    if purpose != FilePurpose.BATCH:
        raise unknown_choice("purpose", purpose, [FilePurpose.BATCH])
    if not 1 <= len(filename) <= FILENAME_CHARS_MAX or not filename.isprintable():
        raise Invalid(
            "the file's name cannot be used",
            code="invalid_filename",
            field="file",
            accepted=f"1 to {FILENAME_CHARS_MAX} printable characters",
        )


def check_room(files: int, size_bytes: int, more_bytes: int) -> None:
    """Refuse a file beyond what an account may keep; raises TooLarge."""
    if more_bytes > FILE_BYTES_MAX:
        raise TooLarge("the file is too large", field="file", accepted=f"at most {FILE_BYTES_MAX} bytes")
    if files >= FILES_PER_ACCOUNT_MAX:
        raise TooLarge(
            f"the account keeps {files} files",
            code="too_many_files",
            field="file",
            accepted=f"at most {FILES_PER_ACCOUNT_MAX}: delete some first",
        )
    if size_bytes + more_bytes > ACCOUNT_BYTES_MAX:
        raise TooLarge(
            f"the account's files take {size_bytes} bytes",
            code="too_many_bytes",
            field="file",
            accepted=f"at most {ACCOUNT_BYTES_MAX} together: delete some first",
        )


def parse_expiry(text: str | None) -> timedelta:
    """How long a file stays, from whole seconds as a client may ask; raises Invalid."""
    if text is None:
        return RETENTION
    if text.isascii() and text.isdecimal() and len(text) < 10:
        seconds = int(text)
        if EXPIRES_AFTER_S_MIN <= seconds <= EXPIRES_AFTER_S_MAX:
            return timedelta(seconds=seconds)
    raise Invalid(
        "the file cannot stay that long",
        code="invalid_expires_after",
        field="expires_after",
        accepted=f"{EXPIRES_AFTER_S_MIN} to {EXPIRES_AFTER_S_MAX} seconds",
    )
