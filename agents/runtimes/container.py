"""What every container of a fleet gets, whoever starts it: few rights, bounds, labels, a way to ask how it is."""

from docker.types import Healthcheck

from agents.runtimes.base import Member
from agents.runtimes.environment import to_label
from agents.runtimes.faces import FACES
from agents.runtimes.inside import BEAT_FILE
from backend.domain.health import START_MAX_S, Health

FLEET = "swarmex.fleet"
MEMBER = "swarmex.member"
KIND = "swarmex.kind"

USER_ID = 10_001  # the image's own user: for managers that run as root
PIDS_MAX = 512
LOG_OPTIONS = {"max-size": "10m", "max-file": "3"}
TEMPORARY_BYTES_MAX = 256 * 2**20

# Asking costs the engine a tenth of a second (measured): whoever is well takes his time to answer, and whoever is
# not yet answers as soon as he is.
ASK_AFTER_S = 0.25
WELL_S = 5
LOOKS_MAX = 10
FIRST_LOOKS_MAX = 50  # of one that never was well: it still starts, and another question would cost it time
LOOK_EVERY_S = 0.3
ASK_TIMEOUT_S = 20  # for all of this on a busy machine
UNHEALTHY_AFTER = 2  # answers in a row

S, MIB = 10**9, 2**20  # the engine counts nanoseconds (and billionths of a core) and bytes


def command_of(member: Member) -> list[str]:
    """What the image's entry point, `python -m`, is told to run."""
    face = FACES.get(member.kind)
    return ["agents", member.kind.value, *member.arguments] if face is None else [face.module]


def labels_of(member: Member, fleet: str) -> dict[str, str]:
    """What a member is found by, and what people filter by."""
    return {FLEET: fleet, MEMBER: to_label(member), KIND: member.kind.value}


def healthcheck() -> Healthcheck:
    """Whether the agent has beaten since the question was put: a shell's work, since starting Python takes longer."""
    asked, begun, well = f"{BEAT_FILE}.asked", f"{BEAT_FILE}.begun", f"{BEAT_FILE}.well"
    script = (
        f": >{asked}; test -e {well} && sleep {WELL_S}; looks=0; most={FIRST_LOOKS_MAX}; "
        f"test -e {begun} && most={LOOKS_MAX}; until test {BEAT_FILE} -nt {asked}; do looks=$((looks + 1)); "
        f"test $looks -lt $most || {{ rm -f {well}; exit 1; }}; sleep {LOOK_EVERY_S}; done; : >{begun}; : >{well}"
    )
    return Healthcheck(
        test=["CMD-SHELL", script],
        interval=int(ASK_AFTER_S * S),
        timeout=ASK_TIMEOUT_S * S,
        start_period=int(START_MAX_S * S),
        retries=UNHEALTHY_AFTER,
    )


def health_in(status: str) -> Health:
    """What the engine's words say, such as `Up 3 minutes (healthy)`."""
    if "(healthy)" in status:
        return Health.HEALTHY
    if "(unhealthy)" in status or "(Paused)" in status:
        return Health.UNHEALTHY
    return Health.STARTING if "starting)" in status else Health.UNKNOWN
