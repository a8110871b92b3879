"""The Docker engine of this machine, asked through its command line client."""

import platform
import shutil
import socket
import subprocess
from pathlib import Path

from local.execution_environment import Log
from local.services import ServiceFailed

ARCHITECTURE = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
RUNTIME_IMAGE = f"public.ecr.aws/lambda/python:3.13-{ARCHITECTURE}"

_LABEL = "favorites.data"


class NoDocker(ServiceFailed):
    """There is no engine to use, or it has not got the image and cannot get it."""


def check() -> None:
    """Raise NoDocker unless an engine answers."""
    if shutil.which("docker") is None:
        raise NoDocker("Docker is needed and was not found: install it, or use `make run`, which needs none.")
    try:
        _docker("version", "--format", "{{.Server.Version}}")
    except _Refused as error:
        if "permission denied" in str(error).lower():
            raise NoDocker(
                "This user may not use Docker: add them to the group `docker` "
                "(sudo usermod -aG docker $USER) and log in anew, or use `make run`."
            ) from error
        raise NoDocker(
            "Docker does not run: start it (sudo systemctl start docker), or use `make run`; "
            f"it said: {error}"
        ) from error


def endpoint() -> str:
    """Return the address of the engine that the client speaks to, as DOCKER_HOST has it."""
    return _docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")


def have_runtime_image(log: Log) -> None:
    """Pull the image of Lambda's runtime unless it is there. Raises NoDocker when it cannot be had."""
    try:
        _docker("image", "inspect", "--format", "{{.Id}}", RUNTIME_IMAGE)
    except _Refused:
        log(f"Pulling {RUNTIME_IMAGE}, the first time only…")
        try:
            _docker("pull", "--quiet", RUNTIME_IMAGE)
        except _Refused as error:
            raise NoDocker(f"The image {RUNTIME_IMAGE} cannot be pulled: {error}") from error


class Network:
    """A network for the containers of one run, with the data folder as its mark.

    A container that SAM CLI started is known by it, whatever became of SAM CLI; and the gateway is an address
    of this machine that nobody but containers can reach from outside of it.
    """

    def __init__(self, data: Path) -> None:
        self._label = f"{_LABEL}={data}"
        self.name = f"favorites-{data.stat().st_dev:x}-{data.stat().st_ino:x}"  # one for each folder

    def create(self) -> str:
        """Make the network, in the place of one that a killed run left; return its gateway's address.

        Raises ServiceFailed when that does not work, or the gateway is no address of this machine.
        """
        self.remove()
        try:
            _docker("network", "create", "--label", self._label, self.name)
            gateway = _docker(
                "network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", self.name
            )
        except _Refused as error:
            raise ServiceFailed(f"Docker could not make a network: {error}") from error
        try:
            with socket.socket() as probe:
                probe.bind((gateway, 0))
        except OSError as error:
            self.remove()
            raise ServiceFailed(
                "Containers cannot reach this machine: the Docker engine runs in one of its own, as Docker "
                "Desktop and rootless engines do. Use an engine that runs on this one, or `make run`."
            ) from error
        return gateway

    def remove(self) -> None:
        """Remove the network with all its containers, if they are there. Raises ServiceFailed."""
        try:
            for network in _docker("network", "ls", "--quiet", "--filter", f"label={self._label}").split():
                containers = _docker("ps", "--all", "--quiet", "--filter", f"network={network}").split()
                if containers:
                    _docker("rm", "--force", "--volumes", *containers)
                _docker("network", "rm", network)
        except _Refused as error:
            raise ServiceFailed(f"Docker could not remove the network {self.name}: {error}") from error


class _Refused(Exception):
    """A command of the client failed; the text is the last line it wrote."""


def _docker(*arguments: str) -> str:
    ran = subprocess.run(  # noqa: S603 - the client that the user has on the PATH
        ["docker", *arguments],  # noqa: S607
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if ran.returncode != 0:
        raise _Refused((ran.stderr.strip() or "nothing").splitlines()[-1])
    return ran.stdout.strip()
