"""The strategies by which updates become one model: their names, their options, and how many updates each needs."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from backend.domain.errors import Invalid, shown, unknown_choice
from backend.domain.federated.jobs import PARTICIPANTS_MAX

MEDIAN_MIN = 3  # of two the median is the mean
MALICIOUS_MAX = (PARTICIPANTS_MAX - 3) // 2


@dataclass(frozen=True, slots=True)
class Option:
    """A number that a strategy takes: what it is if none is given, and from where to where it may be."""

    default: float
    low: float
    high: float
    whole: bool = False
    below: bool = False  # the upper limit itself is not allowed

    def accepts(self, value: object) -> bool:
        """Whether `value` may be given."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        inside = self.low <= value < self.high if self.below else self.low <= value <= self.high
        return inside and (not self.whole or value == int(value))

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.low:g} to {'below ' if self.below else ''}{self.high:g}"


_BETAS = {"beta_1": Option(0.9, 0, 1, below=True), "beta_2": Option(0.99, 0, 1, below=True)}
_MALICIOUS = Option(1, 0, MALICIOUS_MAX, whole=True)


def _rate(default: float) -> Option:
    return Option(default, 1e-6, 100)


def _floor(default: float) -> Option:
    return Option(default, 1e-9, 1)


def _one(_: Mapping[str, float]) -> int:
    return 1


def _three(_: Mapping[str, float]) -> int:
    return MEDIAN_MIN


def _trimmed(options: Mapping[str, float]) -> int:
    """So many that the share cuts one at each end: with fewer it would be an unprotected mean."""
    share = options["beta"]
    if share == 0:
        return 1
    count = math.ceil(1 / share)
    return count if int(share * count) >= 1 else count + 1


def _krum(options: Mapping[str, float]) -> int:
    """n > 2f + 2: with fewer the malicious can choose (Blanchard et al. 2017)."""
    return 2 * int(options["malicious"]) + 3


@dataclass(frozen=True, slots=True)
class Kind:
    """A strategy as the catalogue has it; `averages` says whether what it makes of updates begins with their mean.

    Only then a participant's weight in it is bounded by clipping, so that central privacy means anything.
    """

    about: str
    options: Mapping[str, Option] = field(default_factory=dict)
    participants_min: Callable[[Mapping[str, float]], int] = _one
    has_state: bool = False
    averages: bool = True


STRATEGIES: Mapping[str, Kind] = {
    "fedavg": Kind("the mean, weighted by examples"),
    "fedavgm": Kind(
        "the mean as a step with momentum",
        {"server_learning_rate": _rate(1.0), "server_momentum": Option(0.9, 0, 1, below=True)},
        has_state=True,
    ),
    "fedadagrad": Kind(
        "the mean as a step of Adagrad",
        {"eta": _rate(0.1), "beta_1": Option(0.0, 0, 1, below=True), "tau": _floor(1e-9)},
        has_state=True,
    ),
    "fedadam": Kind("the mean as a step of Adam", {"eta": _rate(0.1), **_BETAS, "tau": _floor(1e-9)}, has_state=True),
    "fedyogi": Kind("the mean as a step of Yogi", {"eta": _rate(0.01), **_BETAS, "tau": _floor(1e-3)}, has_state=True),
    "fedprox": Kind(
        "the mean of participants that are kept near the round's weights", {"proximal_mu": Option(0.01, 0, 1_000)}
    ),
    "median": Kind("the median of each weight", participants_min=_three, averages=False),
    "trimmed_mean": Kind(
        "the mean of each weight without the share `beta` of the least and of the largest",
        {"beta": Option(0.2, 0, 0.5, below=True)},
        participants_min=_trimmed,
        averages=False,
    ),
    "krum": Kind(
        "the one update nearest to its neighbours, `malicious` at most being bad",
        {"malicious": _MALICIOUS},
        participants_min=_krum,
        averages=False,
    ),
    "multikrum": Kind(
        "the mean of the `keep` updates nearest to their neighbours (0: of all but `malicious`), weighted by examples",
        {"malicious": _MALICIOUS, "keep": Option(0, 0, PARTICIPANTS_MAX, whole=True)},
        participants_min=_krum,
        averages=False,
    ),
}


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy with all of its options."""

    name: str
    options: Mapping[str, float]

    @property
    def participants_min(self) -> int:
        """The least number of updates that it can aggregate."""
        return STRATEGIES[self.name].participants_min(self.options)

    @property
    def proximal_mu(self) -> float:
        """FedProx's μ, which participants are told; 0 for none."""
        return float(self.options.get("proximal_mu", 0.0))

    @property
    def has_state(self) -> bool:
        """Whether it has to be given, each round, what it gave out in the round before."""
        return STRATEGIES[self.name].has_state

    @property
    def takes_central_privacy(self) -> bool:
        """Whether clipping bounds what one participant can do to its result."""
        return STRATEGIES[self.name].averages


def strategy_named(name: str, options: Mapping[str, float] | None = None) -> Strategy:
    """The strategy of that name, its defaults filled in; raises Invalid.

    Codes: `invalid_strategy`; `invalid_strategy_options` with the option's name in the field.
    """
    if name not in STRATEGIES:
        raise unknown_choice("strategy", name, list(STRATEGIES))
    known = STRATEGIES[name].options
    for option, value in (options or {}).items():
        if option not in known or not known[option].accepts(value):
            accepted = str(known[option]) if option in known else ", ".join(known) or "no options"
            raise Invalid(
                f"option {shown(option)} of {name} cannot be {shown(value)}",
                code="invalid_strategy_options",
                field=f"strategy_options.{shown(option).strip(chr(39))}",
                accepted=accepted,
            )
    return Strategy(name, {option: float(of.default) for option, of in known.items()} | dict(options or {}))
