"""What a refusal looks like over gRPC, and the one table from error families to statuses.

The details are the sentence that the HTTP face answers; the code is in the trailing metadata.
"""

from collections.abc import Mapping

import grpc

from backend.domain import errors
from backend.gateway.errors import Busy

STATUS: Mapping[type[errors.SwarmexError], grpc.StatusCode] = {
    errors.Invalid: grpc.StatusCode.INVALID_ARGUMENT,
    errors.TooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.InsufficientFunds: grpc.StatusCode.FAILED_PRECONDITION,
    errors.BudgetExceeded: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ChecksumMismatch: grpc.StatusCode.FAILED_PRECONDITION,
    Busy: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
}
ERROR_CODE_KEY = "swarmex-error-code"
RETRY_KEY = "retry-after"
PUSHBACK_KEY = "grpc-retry-pushback-ms"  # the same, as clients read it that retry by themselves
RETRY_AFTER_S = 1


def status_of(error: errors.SwarmexError) -> grpc.StatusCode:
    """The status of the nearest family; INTERNAL for an error that belongs to none."""
    return next((STATUS[family] for family in type(error).__mro__ if family in STATUS), grpc.StatusCode.INTERNAL)


def sentence(error: errors.SwarmexError) -> str:
    """The refusal in one sentence: field, message and what would pass."""
    where = f"{error.field}: " if error.field else ""
    wanted = f" (accepted: {error.accepted})" if error.accepted else ""
    return f"{where}{error.message}{wanted}"


def told_with(error: errors.SwarmexError) -> tuple[tuple[str, str], ...]:
    """Trailing metadata of a refusal: its stable code, and when to try again where that is of use."""
    told = [(ERROR_CODE_KEY, error.code)]
    if isinstance(error, errors.Unavailable):
        after_s = getattr(error, "retry_after_s", RETRY_AFTER_S)
        told += [(RETRY_KEY, str(after_s)), (PUSHBACK_KEY, str(after_s * 1_000))]
    return tuple(told)
