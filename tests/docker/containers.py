"""Containers through Docker's own command, as an operator starts them; every call ends in time."""

import subprocess
import time
from collections.abc import Mapping

COMMAND_TIMEOUT_S = 120.0
STOP_GRACE_S = 30
RIGHTLESS = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
HARDENED = (*RIGHTLESS, "--tmpfs", "/tmp", "--tmpfs", "/var/lib/swarmex:uid=10001,gid=10001")


def docker(*arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
    """Standard output of a docker command; raises AssertionError with its standard error if it fails."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: exit {done.returncode}\n{done.stderr[-4000:]}"
    return done.stdout


class Container:
    """One process of the image, hardened and on the host's network; removed by `remove`."""

    def __init__(
        self, image: str, *command: str, environment: Mapping[str, str], options: tuple[str, ...] = ()
    ) -> None:
        self.name = " ".join(command)
        variables = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
        self.id = docker("run", "--detach", "--network", "host", *HARDENED, *options, *variables, image, *command)
        self.id = self.id.strip()

    def logs(self) -> str:
        """What it wrote, the end of it."""
        done = subprocess.run(
            ["docker", "logs", "--tail", "30", self.id],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        return f"--- {self.name}\n{done.stdout}"

    def remove(self) -> None:
        """End it if it runs, and delete it."""
        docker("rm", "--force", "--volumes", self.id)


def stop(*containers: Container) -> float:
    """`docker stop` for all of them; the seconds that it took. A process that ignores it takes STOP_GRACE_S."""
    started = time.monotonic()
    docker("stop", "-t", str(STOP_GRACE_S), *(container.id for container in containers))
    return time.monotonic() - started


def exit_codes(*containers: Container) -> dict[str, int]:
    """How those that have ended ended, by name; 137 is a kill."""
    codes = docker("inspect", "--format", "{{.State.ExitCode}}", *(container.id for container in containers))
    return {container.name: int(code) for container, code in zip(containers, codes.split(), strict=True)}
