"""Nodes of other people: how they join, what they may send, and when what they report is a lie."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from backend.domain.access import Principal, Role
from backend.domain.errors import Invalid
from backend.domain.ids import AccountId, KeyId, NodeId
from backend.domain.nodes import SLOTS_MAX, check_name, check_region
from backend.domain.tiers import ResourceClass

PROTOCOL = 1  # of the messages between a remote node and the coordinator
TOKEN_LIFE = timedelta(hours=1)
TOKEN_LIFE_MAX = timedelta(days=7)
OPEN_TOKENS_MAX = 50  # of one account, neither used nor expired
AGENTS_MAX = 4  # that live at once for one remote node
REMOTE = "remote."  # begins the queues that are polled; no pool or node of the operator's own has such a one
POLLED = "polled://"  # begins the URL of a node that nobody dials: it polls for its requests, too
REMOTE_AGENT = "remote/"  # begins the names of remote agents; no member of a fleet can be called so

POLL_S_MAX = 25.0  # most proxies hang up on a silent connection after 30 s
UNITS_PER_POLL_MAX = 8
CLAIM_ITEMS_MAX = 100
CLAIM_BYTES_MAX = 1 << 20  # of inputs: what takes longer to arrive than a claim lasts would be lost before it is run
MESSAGE_ITEMS_MAX = 500
MESSAGE_BYTES_MAX = 4 << 20  # of outputs, before base64 makes a third more of them: below the limit of any body

OVERSTATED_FROM = 3  # reports of more time than passed, in a day; fewer go unnoticed
REPORT_SLACK_US = 1_000  # a claim's clock starts before the coordinator's statement is done

_LIFE = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
LIFE_ACCEPTED = "a number and s, m, h or d, as in 90s, 15m, 2h or 3d"
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


@dataclass(frozen=True, slots=True)
class NodePrincipal:
    """A remote node whose key was checked: it speaks for itself alone."""

    key_id: KeyId
    account_id: AccountId
    node_id: NodeId
    queue: str

    @property
    def owner(self) -> Principal:
        """Who answers for the node's own offer, as the audit log tells it."""
        return Principal(self.key_id, self.account_id, Role.PROVIDER)


@dataclass(frozen=True, slots=True)
class TokenWish:
    """What a join token lets a machine become; without a name, the machine brings its own."""

    resource_class: str
    region: str
    slots_max: int = 1
    name: str | None = None
    life: timedelta = TOKEN_LIFE


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a machine finds on itself; memory in MiB, that of a GPU of each accelerator (or of the smallest one)."""

    cores: int
    memory_mb: int
    gpu_model: str | None = None
    gpu_memory_mb: int = 0
    accelerators: int = 0


def check_token(wish: TokenWish) -> TokenWish:
    """`wish` if a token can be like that; raises Invalid with the field's name."""
    if wish.resource_class not in [c.value for c in ResourceClass]:
        raise Invalid(
            f"{wish.resource_class[:60]!r} is not a class",
            code="invalid_resource_class",
            field="resource_class",
            accepted=", ".join(ResourceClass),
        )
    check_region(wish.region)
    if not 1 <= wish.slots_max <= SLOTS_MAX:
        accepted = f"1 to {SLOTS_MAX}"
        raise Invalid(f"{wish.slots_max} slots", code="invalid_slots_max", field="slots_max", accepted=accepted)
    if wish.name is not None:
        check_name(wish.name)
    if not timedelta(seconds=1) <= wish.life <= TOKEN_LIFE_MAX:
        raise Invalid(
            "a token cannot last so long",
            code="invalid_expires_s",
            field="expires_s",
            accepted=f"1 to {int(TOKEN_LIFE_MAX.total_seconds())}, which is {TOKEN_LIFE_MAX.days} days",
        )
    return wish


def parse_life(text: str) -> timedelta:
    """How long `text` is, as in 90s, 15m, 2h or 3d; raises Invalid."""
    found = _LIFE.fullmatch(text)
    if found is None:
        raise Invalid(
            f"{text[:40]!r} is no span of time", code="invalid_expires", field="expires", accepted=LIFE_ACCEPTED
        )
    return int(found[1]) * _UNITS[found[2]]


def remote_queue(node_id: UUID) -> str:
    """Queue of a remote node: it polls for its units, so the broker never hears of them."""
    return f"{REMOTE}{node_id}"


def is_remote(queue: str) -> bool:
    """Whether a queue is polled by a remote node."""
    return queue.startswith(REMOTE)


def is_polled(url: str) -> bool:
    """Whether a URL is that of a node that nobody dials."""
    return url.startswith(POLLED)


def overstated(reported_us: int, observed_us: int) -> bool:
    """Whether an item is reported to have run for longer than it was in the node's hands: no honest clock does that.

    A slow machine exceeds a model's profile; that is not a lie, and it is billed no more than the profile allows.
    """
    return reported_us > observed_us + REPORT_SLACK_US


def notices(before: int, after: int) -> int:
    """How much evidence a day's overstated reports give when they grow from `before` to `after`.

    Nothing below OVERSTATED_FROM; then at each doubling all that came since, so that rows stay few however much is
    claimed.
    """
    return _noticed(after) - _noticed(before)


def _noticed(reports: int) -> int:
    level = OVERSTATED_FROM
    if reports < level:
        return 0
    while 2 * level <= reports:
        level *= 2
    return level


def expiry(now: datetime, wish: TokenWish) -> datetime:
    """When a token made now opens nothing any more."""
    return now + wish.life
