"""What a client knows already, as HTTP says it by entity tags (RFC 9110, section 13); our tags are strong ones."""

import re
from dataclasses import dataclass

from backend.domain.errors import Conflict

_TAG = re.compile(r'(W/)?("[^"]*")', re.ASCII)
ANY = "*"


class PreconditionFailed(Conflict):
    """The client knows another state than there is."""

    code = "precondition_failed"


@dataclass(frozen=True, slots=True)
class Conditions:
    """The headers of a request for a file, each None where it is not sent."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_range: str | None = None
    range: str | None = None

    def check_match(self, tag: str) -> None:
        """Raise PreconditionFailed if `If-Match` names others only; weak tags match nothing there."""
        if self.if_match is None or self.if_match.strip() == ANY:
            return
        if tag not in {strong for weak, strong in _TAG.findall(self.if_match) if not weak}:
            raise PreconditionFailed("the file is another one", field="If-Match", accepted=tag)

    def knows(self, tag: str) -> bool:
        """Whether `If-None-Match` names what there is, so that it need not be sent again."""
        if self.if_none_match is None:
            return False
        return self.if_none_match.strip() == ANY or tag in {named for _, named in _TAG.findall(self.if_none_match)}

    def range_of(self, tag: str) -> str | None:
        """The `Range` asked for, unless `If-Range` wants it of another file only."""
        return self.range if self.if_range is None or self.if_range.strip() == tag else None
