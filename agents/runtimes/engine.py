"""The Docker engine: calls that end in time, and errors that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from docker.api.client import APIClient
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.utils import kwargs_from_env

from backend.domain.errors import SwarmexError, Unavailable

CALL_TIMEOUT_S = 10.0
SAID_CHARS_MAX = 300  # of what the engine answers
NOT_RUNNING = 409  # the engine's status for a signal to a container that has ended


def connect() -> Any:
    """A client of the engine that DOCKER_HOST names, or of this machine's; raises Unavailable(`no_engine`)."""
    with engine_errors("answer"):
        return APIClient(**kwargs_from_env(), version="auto", timeout=CALL_TIMEOUT_S)


@contextmanager
def engine_errors(purpose: str) -> Iterator[None]:
    """What the engine refuses, or does not answer, as Unavailable; `purpose` completes "it refused to …"."""
    try:
        yield
    except APIError as error:
        said = str(error.explanation or error)[:SAID_CHARS_MAX].strip()
        raise Unavailable(f"the Docker engine refused to {purpose}: {said}", code="engine_refused") from None
    except (DockerException, OSError) as error:
        raise Unavailable(
            f"no Docker engine answers ({type(error).__name__})",
            code="no_engine",
            field="SWARMEX_RUNTIME",
            accepted="process; or an engine that `docker info` reaches",
        ) from None


@contextmanager
def if_there() -> Iterator[None]:
    """Whoever has ended or is gone needs no signal."""
    with engine_errors("end a member"):
        try:
            yield
        except NotFound:
            return
        except APIError as error:
            if error.status_code != NOT_RUNNING:
                raise


def require_image(engine: Any, image: str) -> None:
    """Nothing if the engine has the image; raises Unavailable(`no_image`)."""
    with engine_errors("look for an image"):
        try:
            engine.inspect_image(image)
        except ImageNotFound:
            raise no_image(image) from None


def no_image(image: str) -> SwarmexError:
    """What to do about an image that is not there."""
    return Unavailable(
        f"the Docker engine has no image {image}",
        code="no_image",
        field="SWARMEX_IMAGE",
        accepted="an image that is there: `make image` builds Swarmex's, `docker pull` fetches others",
    )
