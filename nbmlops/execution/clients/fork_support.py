"""Whether a notebook can run in a fork, and the client that does it."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any, Protocol

from nbmlops.config import Warm
from nbmlops.execution.clients.fork import ForkClient
from nbmlops.execution.clients.imports import imports, why_a_kernel
from nbmlops.execution.kernel_environment import KernelEnvironment
from nbmlops.execution.notebooks.notebook import language
from nbmlops.execution.outcome import ExecutionOutcome

_LAUNCH = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]


class Client(Protocol):
    """What runs a notebook once."""

    def run(self) -> ExecutionOutcome:
        """Run it to its end."""

    def stop(self) -> None:
        """Interrupt it, from any thread."""


def why_no_fork(notebook: Any, kernel_name: str, environment: KernelEnvironment) -> str:  # noqa: ANN401
    """Return why a notebook needs a kernel, or "" when a fork will do."""
    if sys.platform != "linux":
        return "processes are forked on Linux only"
    if environment.kernels is not None or environment.env:
        return "it runs in another environment"
    if language(notebook).lower() != "python":
        return f"it is in {language(notebook)}"
    spec = environment.kernel_specs().get_kernel_spec(kernel_name)
    python, *arguments = spec.argv
    launch = [word for word in arguments if not word.startswith("-Xfrozen_modules")]
    found = shutil.which(python) if os.path.dirname(python) else sys.executable  # noqa: PTH120
    is_ours = python in ("python", "python3") or found == sys.executable
    if launch != _LAUNCH or spec.env or not is_ours:
        return f"the kernel {kernel_name!r} is not ipykernel in {sys.executable}"
    return why_a_kernel(notebook.cells)


def fork_client(notebook: Any, settings: Warm, **options: Any) -> ForkClient:  # noqa: ANN401
    """Return what runs a notebook in a fork."""
    modules = settings.preload or imports(notebook.cells)
    return ForkClient(
        notebook,
        modules=modules,
        chosen=bool(settings.preload),
        idle_s=settings.idle_s,
        **options,
    )
