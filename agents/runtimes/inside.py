"""How this machine looks from inside a container: other addresses, other folders, and few of its variables."""

import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from agents.runtimes.base import Member
from agents.runtimes.environment import Deployment, environment_of
from agents.runtimes.faces import FACES, files_of
from backend.domain.errors import Unavailable

HOST = "host.docker.internal"  # this machine's name in there
HOME = Path("/var/lib/swarmex")
OBJECTS = HOME / "objects"
CACHE = HOME / "cache"
FILES = Path("/run/swarmex")
BEAT_FILE = Path("/tmp/beat")  # noqa: S108  # in a container of its own
ANY_ADDRESS = "0.0.0.0"  # noqa: S104  # of the container, which is in the fleet's network only
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
CONNECT_TIMEOUT_S = 1.0

# Of the manager's own variables: the deployment's settings, the object store's, OpenTelemetry's, and of threads.
PASSED_PREFIXES = ("AWS_", "MKL_", "OMP_", "OPENBLAS_", "OTEL_", "SWARMEX_")
OF_THE_MANAGER = {"SWARMEX_ADVERTISE_HOST", "SWARMEX_IMAGE", "SWARMEX_PLACEMENT", "SWARMEX_RUNTIME"}


def environment_inside(member: Member, deployment: Deployment, own: Mapping[str, str], port: int) -> dict[str, str]:
    """Environment of `member` in a container: what it would get as a process, by the addresses that hold there.

    `port` is where a member listens that clients dial.
    """
    passed = {
        name: url_inside(value)
        for name, value in own.items()
        if name.startswith(PASSED_PREFIXES) and name not in OF_THE_MANAGER
    }
    environment = environment_of(member, _deployment_inside(deployment), passed)
    environment |= {"SWARMEX_BEAT_FILE": str(BEAT_FILE), "SWARMEX_BIND_HOST": ANY_ADDRESS}
    if (face := FACES.get(member.kind)) is not None:
        environment |= {f"{face.prefix}HOST": ANY_ADDRESS, f"{face.prefix}PORT": str(port)}
        environment |= {name: str(place) for name, (_, place) in files_inside(member, own).items()}
    return environment


def files_inside(member: Member, own: Mapping[str, str]) -> dict[str, tuple[Path, Path]]:
    """The files that `member` reads, here and in its container, by the settings that name them."""
    return {name: (path, FILES / name.lower()) for name, path in files_of(member.kind, own).items()}


def url_inside(url: str) -> str:
    """A URL of this machine by its name in there; others, and what is no URL, as they are."""
    parts = _of_this_machine(url)
    if parts is None:
        return url
    login, at, _ = parts.netloc.rpartition("@")
    port = "" if parts.port is None else f":{parts.port}"
    return parts._replace(netloc=f"{login}{at}{HOST}{port}").geturl()


def require_servers(deployment: Deployment, address: str) -> None:
    """Nothing if servers of this machine listen on `address` too; raises Unavailable(`not_for_containers`)."""
    for parts in map(_of_this_machine, (deployment.database_url, deployment.redis_url)):
        if parts is None or parts.port is None:
            continue
        try:
            socket.create_connection((address, parts.port), CONNECT_TIMEOUT_S).close()
        except OSError:
            raise Unavailable(
                f"the server at {parts.hostname}:{parts.port} does not listen on {address}, where containers look",
                code="not_for_containers",
                field="SWARMEX_RUNTIME",
                accepted="`swarmex down`, then `swarmex up` while Docker runs; or URLs that containers reach",
            ) from None


def local_folder(objects_url: str) -> Path | None:
    """The folder that an object store's URL names; None for a store that is reached by network."""
    parts = urlsplit(objects_url)
    return Path(unquote(parts.path)).absolute() if parts.scheme in {"", "file", "local"} else None


def _deployment_inside(deployment: Deployment) -> Deployment:
    local = local_folder(deployment.objects_url) is not None
    return replace(
        deployment,
        folder=HOME,
        database_url=url_inside(deployment.database_url),
        redis_url=url_inside(deployment.redis_url),
        node_database_url=lambda: url_inside(deployment.node_database_url()),
        objects_url=OBJECTS.as_uri() if local else url_inside(deployment.objects_url),
        model_cache=CACHE,
    )


def _of_this_machine(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        return parts if parts.hostname in LOOPBACK and parts.port != 0 else None
    except ValueError:
        return None
