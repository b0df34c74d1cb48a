"""What can be wrong with an update that a participant sent; its code is the reason that is recorded."""

from enum import StrEnum

from backend.domain.errors import Invalid


class Fault(StrEnum):
    """Why an update is rejected: the codes of UpdateRejected."""

    CHECKSUM_MISMATCH = "checksum_mismatch"
    TOO_LARGE = "too_large"
    TRUNCATED = "truncated"
    INVALID_HEADER = "invalid_header"
    WRONG_NAMES = "wrong_names"
    WRONG_SHAPE = "wrong_shape"
    WRONG_DTYPE = "wrong_dtype"
    NOT_FINITE = "not_finite"
    OUT_OF_RANGE = "out_of_range"
    WRONG_EXAMPLES = "wrong_examples"


BLAMELESS = frozenset({Fault.NOT_FINITE, Fault.OUT_OF_RANGE})  # a job's own options can make any honest fit diverge


class UpdateRejected(Invalid):
    """An update, or any file of weights, that nothing can be made of; one bad update ends no round."""

    code = "invalid_update"

    def __init__(self, fault: Fault, message: str, accepted: str | None = None) -> None:
        super().__init__(message, code=fault, field="update", accepted=accepted)
        self.fault = fault


def speaks_against(reason: str) -> bool:
    """Whether an update that was rejected for `reason`, which begins with its fault's code, was its node's fault.

    What has the wrong form was; numbers out of all bounds may be what the buyer's options make of good data.
    """
    return reason.partition(":")[0] not in BLAMELESS
