"""The Docker engine of this machine, used through its command line client."""

import json
import platform
import shutil
import socket
import subprocess
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path

from local.servers.services import Log, ServiceFailed

ARCHITECTURE = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
RUNTIME_IMAGE = f"public.ecr.aws/lambda/python:3.13-{ARCHITECTURE}"


class NoDocker(ServiceFailed):
    """No engine can be used, or it cannot pull the image."""


def check() -> None:
    """Raise NoDocker unless an engine answers."""
    if shutil.which("docker") is None:
        raise NoDocker(
            "Docker is needed and was not found: install it, or use `make run`, which needs no Docker."
        )
    try:
        _docker("version", "--format", "{{.Server.Version}}")
    except _Refused as error:
        if "permission denied" in str(error).lower():
            raise NoDocker(
                "This user may not use Docker: add them to the group `docker` "
                "(sudo usermod -aG docker $USER) and log in again, or use `make run`."
            ) from error
        raise NoDocker(
            "Docker does not run: start it (sudo systemctl start docker), or use `make run`; "
            f"it said: {error}"
        ) from error


def endpoint() -> str:
    """Return the address of the client's engine, in the form of DOCKER_HOST."""
    return _docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")


def have_runtime_image(log: Log) -> None:
    """Pull the image of Lambda's runtime unless it is there. Raises NoDocker."""
    try:
        _docker("image", "inspect", "--format", "{{.Id}}", RUNTIME_IMAGE)
    except _Refused:
        log(f"Pulling {RUNTIME_IMAGE}, the first time only…")
        try:
            _docker("pull", "--quiet", RUNTIME_IMAGE)
        except _Refused as error:
            raise NoDocker(f"The image {RUNTIME_IMAGE} cannot be pulled: {error}") from error


def gateway() -> str:
    """Return an address of this machine for containers only. Raises ServiceFailed when there is none."""
    try:
        address = _bridge_address(
            _docker("network", "inspect", "--format", "{{json .IPAM.Config}}", "bridge")
        )
        with socket.socket() as probe:
            probe.bind((address, 0))
    except (_Refused, OSError, ValueError) as error:
        raise ServiceFailed(
            "Containers cannot reach this machine: the Docker engine has no bridge on it, as when it runs in "
            "a machine of its own (Docker Desktop, rootless). Use one that runs here, or `make run`."
        ) from error
    return address


def _bridge_address(ranges: str) -> str:
    """Return the gateway of the first of a network's address ranges, which are JSON.

    Before its first container or restart, an engine does not name a gateway that was not configured. It is
    the first address of the range then. Raises ValueError without a range.
    """
    first: dict[str, str] = next(iter(json.loads(ranges) or []), {})
    gateway = first.get("Gateway") or str(next(ip_network(first.get("Subnet", "")).hosts()))
    return str(ip_address(gateway))


def containers_of(folder: Path) -> list[str]:
    """Return the ids of all containers, running or not, with a mount from the folder."""
    listed = _docker("ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Mounts}}").splitlines()
    return [
        container
        for container, _, mounts in (line.partition(" ") for line in listed)
        if f"{folder}/" in mounts
    ]


def remove_containers_of(folder: Path) -> None:
    """Remove the containers with a mount from the folder."""
    with suppress(_Refused):  # it was being removed already
        if containers := containers_of(folder):
            _docker("rm", "--force", "--volumes", *containers)


class _Refused(ServiceFailed):
    """A command of the client failed; the text is its last line."""


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
