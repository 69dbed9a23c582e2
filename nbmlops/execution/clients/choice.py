"""A notebook run in a fork where one will do, else in a kernel."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbmlops.config import Warm
from nbmlops.execution.clients.imports import find_imports, why_front_end
from nbmlops.execution.kernels import KernelEnvironment
from nbmlops.execution.notebooks.notebook import language
from nbmlops.execution.outcome import ExecutionOutcome
from nbmlops.forkserver.runtime_dir import ForkUnavailable

if TYPE_CHECKING:
    from nbmlops.execution.clients.client import CellClient

_LAUNCH = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
_POLL_S = 0.2
GiveUp = Callable[[], str]
"""Says why what runs is not to go on; nothing while it may."""


def run_cells(
    notebook: Any,  # noqa: ANN401
    kernel_name: str,
    environment: KernelEnvironment,
    settings: Warm,
    *,
    cold: bool = False,
    jobs: int = 1,
    give_up: GiveUp | None = None,
    on_kernel: Callable[[str], None],
    **options: Any,
) -> tuple[ExecutionOutcome, KeyboardInterrupt | None]:
    """Run a notebook to its end; ``on_kernel`` is given why it is not in a fork."""
    if cold:
        why = "it was asked for"
    else:
        why = why_no_fork(notebook, kernel_name, environment)
    if not why:
        try:
            client = fork_client(notebook, settings, jobs=jobs, **options)
            return _run_interruptibly(client, give_up)
        except ForkUnavailable as reason:
            why = str(reason)
    on_kernel(why)
    from nbmlops.execution.clients.kernel import KernelClient

    specs = environment.kernel_specs()
    kernel = KernelClient(notebook, kernel_name=kernel_name, specs=specs, **options)
    return _run_interruptibly(kernel, give_up)


def _run_interruptibly(
    client: CellClient, give_up: GiveUp | None
) -> tuple[ExecutionOutcome, KeyboardInterrupt | None]:
    """Run a notebook in a thread, so that this one can be interrupted."""
    outcome: ExecutionOutcome | None = None
    interrupt: KeyboardInterrupt | None = None
    why = ""
    with ThreadPoolExecutor(1, thread_name_prefix="nbmlops-step") as pool:
        try:
            future = pool.submit(client.run)
            while outcome is None:
                try:
                    if wait([future], _POLL_S if give_up else None).done:
                        outcome = future.result()
                    elif give_up and not why and (why := give_up()):
                        client.stop()
                except KeyboardInterrupt as error:
                    interrupt = interrupt or error
                    client.stop()
        finally:
            client.stop()
    if why and interrupt is None and outcome.how != "finished":
        outcome = replace(outcome, how="given up", reason=why)
    return outcome, interrupt


def why_no_fork(
    notebook: Any,  # noqa: ANN401
    kernel_name: str,
    environment: KernelEnvironment,
) -> str:
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
    return why_front_end(notebook.cells)


def fork_client(notebook: Any, settings: Warm, **options: Any) -> CellClient:  # noqa: ANN401
    """Return what runs a notebook in a fork."""
    from nbmlops.execution.clients.fork import ForkClient

    return ForkClient(
        notebook,
        modules=settings.preload or find_imports(notebook.cells),
        chosen=bool(settings.preload),
        idle_s=settings.idle_s,
        **options,
    )
