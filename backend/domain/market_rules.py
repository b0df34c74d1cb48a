"""What an admin may decide for a market: its auction, the bounds of its spot price, the utilisation that it seeks."""

from dataclasses import dataclass, replace

from backend.domain.auctions import DEFAULT_MECHANISM, MECHANISMS
from backend.domain.errors import Invalid, shown, unknown_choice
from backend.domain.money import PPM, format_credits
from backend.domain.nodes import NodeSpec, check_node
from backend.domain.pricing import CAP_NANO, DEFAULT_CONTROL, STEP_MAX_PPM, Control, Market
from backend.domain.tiers import ResourceClass

FLOOR_NANO_MIN = PPM // STEP_MAX_PPM  # below it an eighth is no nano-credit, and a price could never rise again
TARGET_PPM_MIN = 10_000
TARGET_PPM_MAX = 990_000


@dataclass(frozen=True, slots=True)
class MarketRule:
    """A market's rules; `own` unless they are the defaults."""

    market: Market
    mechanism: str = DEFAULT_MECHANISM
    control: Control = DEFAULT_CONTROL
    own: bool = False


@dataclass(frozen=True, slots=True)
class RuleChange:
    """What is to change about a market's rules; None leaves it."""

    mechanism: str | None = None
    floor_nano: int | None = None
    cap_nano: int | None = None
    target_ppm: int | None = None


def check_market(resource_class: str, region: str) -> Market:
    """The market of that name, with nodes or before it has any; raises Invalid(`invalid_resource_class`, …)."""
    check_node(NodeSpec("any", resource_class, region, 1))
    return Market(resource_class, region)


def read_market(text: str) -> Market:
    """The market of a name like cloud/north; raises Invalid(`invalid_market`, …)."""
    named = Market.parse(text)
    if not named.resource_class or not named.region:
        raise Invalid(
            f"{shown(text)} is no market",
            code="invalid_market",
            field="market",
            accepted=f"CLASS/REGION, as in cloud/north; the classes are {', '.join(ResourceClass)}",
        )
    return check_market(named.resource_class, named.region)


def changed(rule: MarketRule, change: RuleChange) -> MarketRule:
    """The rules after a change; raises Invalid with the field at fault."""
    if change == RuleChange():
        raise Invalid("nothing to change", code="nothing_to_change", field="mechanism", accepted=_FIELDS)
    mechanism = rule.mechanism if change.mechanism is None else change.mechanism
    if mechanism not in MECHANISMS:
        raise unknown_choice("mechanism", mechanism, list(MECHANISMS))
    before = rule.control
    control = Control(
        before.floor_nano if change.floor_nano is None else change.floor_nano,
        before.cap_nano if change.cap_nano is None else change.cap_nano,
        before.target_ppm if change.target_ppm is None else change.target_ppm,
    )
    if not FLOOR_NANO_MIN <= control.floor_nano <= CAP_NANO:
        raise _out_of_range("floor", FLOOR_NANO_MIN, CAP_NANO)
    if not control.floor_nano <= control.cap_nano <= CAP_NANO:
        raise _out_of_range("cap", control.floor_nano, CAP_NANO)
    if not TARGET_PPM_MIN <= control.target_ppm <= TARGET_PPM_MAX:
        raise Invalid(
            f"target {control.target_ppm} is out of range",
            code="invalid_target",
            field="target_ppm",
            accepted=f"{TARGET_PPM_MIN} to {TARGET_PPM_MAX}",
        )
    return replace(rule, mechanism=mechanism, control=control, own=True)


_FIELDS = "at least one of mechanism, floor, cap, target_ppm"


def _out_of_range(field: str, low_nano: int, high_nano: int) -> Invalid:
    return Invalid(
        f"the {field} is out of range",
        code=f"invalid_{field}",
        field=field,
        accepted=f"{format_credits(low_nano)} to {format_credits(high_nano)} credits per slot-second",
    )
