"""Files and batches on the wire, as OpenAI's clients know them; what is the market's own is called `swarmex_…`."""

from datetime import datetime
from typing import Any, Self

from pydantic import Field

from backend.api.wire.base import Amount, Answer, Text, Wire
from backend.domain.batches import FINAL, BatchState
from backend.domain.files import file_name
from backend.domain.ids import FileId
from backend.domain.links import link
from backend.domain.money import format_credits
from backend.services import batches as service
from backend.services import files as file_service
from backend.services.batches import BatchView, BatchWish, batch_name
from backend.storage.batch_chunks import Waiting
from backend.storage.files import File as StoredFile


class OpenAiProblem(Answer):
    """What was wrong, in the words of OpenAI's clients."""

    message: str
    type: str = Field(examples=["invalid_request_error"])
    param: str | None
    code: str = Field(examples=["unknown_file"], description="Stable; programs decide by it.")


class OpenAiErrorBody(Answer):
    """The envelope."""

    error: OpenAiProblem


REFUSALS: dict[int | str, dict[str, Any]] = {
    422: {"model": OpenAiErrorBody, "description": "The input cannot be right; nothing was written."},
    "4XX": {"model": OpenAiErrorBody, "description": "Refused; nothing was written."},
    503: {"model": OpenAiErrorBody, "description": "Try again after Retry-After seconds."},
}


class File(Answer):
    """A file that is kept."""

    id: str = Field(examples=["file-0190a1b2c3d47e5f8a6b7c8d9e0f1a2b"])
    object: str = "file"
    bytes: int
    created_at: int = Field(description="Seconds since 1970.")
    expires_at: int
    filename: str
    purpose: str
    status: str = "processed"

    @classmethod
    def of(cls, file: StoredFile) -> Self:
        """The wire form of a file."""
        return cls(
            id=file_name(file.id),
            bytes=file.size_bytes,
            created_at=int(file.created_at.timestamp()),
            expires_at=int(file.expires_at.timestamp()),
            filename=file.filename,
            purpose=file.purpose,
        )


class FileList(Answer):
    """A page of files."""

    object: str = "list"
    data: list[File]
    first_id: str | None
    last_id: str | None
    has_more: bool

    @classmethod
    def of(cls, page: file_service.Page) -> Self:
        """The wire form of a page."""
        data = [File.of(file) for file in page.files]
        return cls(
            data=data,
            first_id=data[0].id if data else None,
            last_id=data[-1].id if data else None,
            has_more=page.more,
        )


class FileDeleted(Answer):
    """A file that is gone."""

    id: str
    object: str = "file"
    deleted: bool = True


class BatchRequest(Wire):
    """A batch to run; its file has one request a line: `{"custom_id", "method": "POST", "url", "body"}`."""

    input_file_id: Text
    endpoint: Text = Field(examples=["/v2/models"], description="What the lines' urls begin with, or all of them.")
    completion_window: Text = Field(default="24h", examples=["24h", "1h", "30m"])
    metadata: dict[str, str] | None = Field(
        default=None,
        examples=[{"swarmex_tier": "medium", "swarmex_max_budget": "5"}],
        description="Up to 16 texts. Read by the market: swarmex_tier, swarmex_priority, swarmex_slots,"
        " swarmex_max_budget, swarmex_limit, swarmex_region, swarmex_webhook.",
    )

    def wish(self) -> BatchWish:
        """What the service is asked for."""
        return BatchWish(self.input_file_id, self.endpoint, self.completion_window, self.metadata)


class WaitsFor(Answer):
    """Why a batch waits; without a message, the code is the reason that its orders have."""

    code: str = Field(examples=["no_capacity"])
    message: str | None


class Batch(Answer):
    """A batch; times in seconds since 1970."""

    id: str = Field(examples=["batch_0190a1b2c3d47e5f8a6b7c8d9e0f1a2b"])
    object: str = "batch"
    endpoint: str
    errors: dict[str, Any] | None
    input_file_id: str
    completion_window: str
    status: str
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: dict[str, int]
    metadata: dict[str, str] | None
    swarmex_charged: Amount
    swarmex_waits_for: WaitsFor | None = Field(description="Why none of its orders runs, while it is in progress.")
    swarmex_result_url: str | None = Field(description="Reads the output file without a key until it expires.")
    swarmex_error_url: str | None = Field(description="The same of the error file.")
    swarmex_webhook_secret: str | None = Field(description="What the batch's webhook is signed with.")

    @classmethod
    def of(
        cls,
        view: BatchView,
        waits: Waiting | None,
        now: datetime,
        base_url: str,
        link_secret: str,
        webhook_secret: str,
    ) -> Self:
        """The wire form of a batch, with links that work from now on."""
        batch = view.batch
        ended = batch.state in FINAL

        def url(file_id: FileId | None) -> str | None:
            if file_id is None or not ended:
                return None
            return base_url.rstrip("/") + link(link_secret, content_path(file_name(file_id)), now)

        def at(state: BatchState) -> int | None:
            return _seconds(batch.ended_at) if batch.state is state else None

        return cls(
            id=batch_name(batch.id),
            endpoint=batch.endpoint,
            errors=None if batch.errors is None else {"object": "list", "data": batch.errors},
            input_file_id=file_name(batch.input_file_id),
            completion_window=batch.completion_window,
            status=batch.state,
            output_file_id=file_name(batch.output_file_id) if batch.output_file_id and ended else None,
            error_file_id=file_name(batch.error_file_id) if batch.error_file_id and ended else None,
            created_at=int(batch.created_at.timestamp()),
            in_progress_at=_seconds(batch.in_progress_at),
            expires_at=int(batch.expires_at.timestamp()),
            finalizing_at=_seconds(batch.finalizing_at),
            completed_at=at(BatchState.COMPLETED),
            failed_at=at(BatchState.FAILED),
            expired_at=at(BatchState.EXPIRED),
            cancelling_at=_seconds(batch.cancelling_at),
            cancelled_at=at(BatchState.CANCELLED),
            request_counts={"total": batch.total, "completed": batch.completed, "failed": batch.failed},
            metadata=dict(batch.metadata) or None,
            swarmex_charged=format_credits(view.charged_nano),
            swarmex_waits_for=WaitsFor(code=waits.code, message=waits.message) if waits else None,
            swarmex_result_url=url(batch.output_file_id),
            swarmex_error_url=url(batch.error_file_id),
            swarmex_webhook_secret=webhook_secret if batch.webhook else None,
        )


class BatchList(Answer):
    """A page of batches."""

    object: str = "list"
    data: list[Batch]
    first_id: str | None
    last_id: str | None
    has_more: bool

    @classmethod
    def of(cls, page: service.Page, batches: list[Batch]) -> Self:
        """The wire form of a page."""
        return cls(
            data=batches,
            first_id=batches[0].id if batches else None,
            last_id=batches[-1].id if batches else None,
            has_more=page.more,
        )


class WebhookSecret(Answer):
    """What an account's webhooks are signed with, as the Standard Webhooks specification says."""

    secret: str = Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])


def content_path(name: str) -> str:
    """The path that reads a file's content: what a link signs."""
    return f"/v1/files/{name}/content"


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
