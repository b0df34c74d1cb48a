"""How much the results of a batch may fill, and how much they are expected to before they are there.

What ran is kept, whatever its size: so the limit is asked before requests are run, with what they are expected to give.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from backend.domain.errors import TooLarge
from backend.domain.files import ACCOUNT_BYTES_MAX
from backend.domain.tensors import Signature
from backend.domain.work import PAYLOAD_BYTES_MAX

BATCH_OUTPUT_BYTES_MAX = 2 << 30  # outputs and errors of one batch together
LINE_BYTES = 1 << 10  # of a result beside its tensors: ids, names and, of one that failed, the reason
TENSOR_BYTES = 512  # of a tensor beside its values
VALUE_BYTES = 26  # of a number at most: -1.7976931348623157e+308 and what separates it from the next
SEEN_FACTOR = 2  # the rest of a batch may give so many times what its first requests gave

Kind = tuple[str, int]
"""A model and its version."""


def expected_bytes(signature: Signature, rows: int) -> int:
    """What the answer to a request of so many rows should fill in JSON; as much as it may where nothing says less."""
    total = 0
    for spec in signature.outputs:
        axes = (rows, *spec.shape[1:]) if spec.shape and spec.shape[0] == -1 else spec.shape
        if spec.datatype == "BYTES" or -1 in axes:
            return PAYLOAD_BYTES_MAX
        total += TENSOR_BYTES + VALUE_BYTES * math.prod(axes)
    return min(total, PAYLOAD_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class OutputRoom:
    """What may still be written for a batch; bytes, of the batch and of all that its account keeps.

    `open` ones are expected of orders under way, `lines_left` have no result yet; `seen` is the most that a request
    of a model gave so far, on average of a chunk.
    """

    kept: int
    open: int
    account_kept: int
    account_open: int
    lines_left: int
    seen: Mapping[Kind, int] = field(default_factory=dict)

    def expected(self, kind: Kind, lines: int, by_signature: int) -> int:
        """What a chunk should fill: as its model's signature says, until it has been seen what the model gives."""
        seen = self.seen.get(kind)
        return by_signature if seen is None else min(SEEN_FACTOR * seen, PAYLOAD_BYTES_MAX) * lines

    def refusal(self, more: int) -> TooLarge | None:
        """Why so much more cannot be promised a place; None if it can."""
        reasons = self.lines_left * LINE_BYTES
        if self.kept + self.open + reasons + more > BATCH_OUTPUT_BYTES_MAX:
            return TooLarge(
                f"the batch's results fill {self.kept} bytes, and these might not fit any more; they were not run",
                code="batch_output_full",
                accepted=f"{BATCH_OUTPUT_BYTES_MAX} bytes of outputs and errors in one batch: send the rest in another",
            )
        if self.account_kept + self.account_open + reasons + more > ACCOUNT_BYTES_MAX:
            return TooLarge(
                f"the account's files take {self.account_kept} bytes, and these results might not fit; they were not"
                " run",
                code="too_many_bytes",
                accepted=f"{ACCOUNT_BYTES_MAX} bytes together: delete some first",
            )
        return None

    def after(self, more: int) -> "OutputRoom":
        """What is left when so much more is promised a place."""
        return replace(self, open=self.open + more, account_open=self.account_open + more)

    @property
    def comes_back(self) -> bool:
        """Whether orders under way may leave some of what they were promised."""
        return self.account_open > 0
