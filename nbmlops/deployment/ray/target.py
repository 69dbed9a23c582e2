"""The cluster that a project's endpoints run on."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
from pathlib import Path

import ray
from ray import serve
from ray.serve.context import _get_global_client

from nbmlops.config import Ray, load_settings
from nbmlops.deployment.ray.endpoint import RayEndpoint
from nbmlops.deployment.ray.hub import NAMESPACE
from nbmlops.deployment.supervisor import follower
from nbmlops.errors import DeployError
from nbmlops.processes import python_command, python_environ

_CONNECT_S = 3.0
_HERE = "auto"
_FIX = "Start one, `ray start --head`, or set RAY_ADDRESS to one that runs."


class RayTarget:
    """A cluster of Ray that this machine is a node of."""

    name = "ray"

    def prepare(self) -> None:
        """Have Ray say less."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        logging.getLogger("ray").setLevel(logging.WARNING)

    def endpoint(self, folder: Path, name: str) -> RayEndpoint:
        """Return an endpoint whose versions are applications of Ray Serve."""
        settings = load_settings(folder.parents[1]).ray
        return RayEndpoint(
            folder, name, settings, lambda port: _connect(settings, port)
        )

    def start_follower(self, folder: Path) -> int:
        """Start it as a process: this one has threads, and cannot be forked."""
        return subprocess.Popen(  # noqa: S603 - our own module
            python_command(follower.__name__, str(folder), self.name),
            cwd=folder,
            env=python_environ(os.environ, folder),
        ).pid


def _connect(settings: Ray, port: int) -> int:
    """Connect to the cluster, have Ray Serve run, and return its port."""
    address = settings.address or os.environ.get("RAY_ADDRESS") or _HERE
    if not ray.is_initialized():
        _check(address)
        try:
            ray.init(
                address,
                namespace=NAMESPACE,
                log_to_driver=False,
                configure_logging=False,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise _no_cluster(address, error) from error
    options = {"host": "127.0.0.1"} | ({"port": port} if port else {})
    serve.start(http_options=options)
    client = _get_global_client()  # there is no public way to ask for the port
    assert client is not None  # noqa: S101 - it was started
    return int(client.http_config.port)


def _check(address: str) -> None:
    """Refuse an address where nothing listens, which Ray would try for minutes."""
    if "://" in address:
        raise DeployError(
            f"{address} is an address for clients outside of the cluster.",
            fix="Make this machine a node, `ray start --address HOST:PORT`, and set "
            "RAY_ADDRESS=HOST:PORT.",
        )
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
        except OSError as error:
            raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> DeployError:
    problem = f"No Ray cluster answers at {address}: {str(error)[:200]}."
    if address == _HERE:
        problem = "No Ray cluster runs on this machine."
    return DeployError(problem, fix=_FIX)
