"""One notebook, run as one tracked step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from numbers import Real
from pathlib import Path

from nbmlops._hashing import code_hash
from nbmlops._masking import mask_tree
from nbmlops.entities import to_json
from nbmlops.errors import UsageError
from nbmlops.execution.cell_status import OnProgress
from nbmlops.execution.clients.choice import GiveUp
from nbmlops.execution.interrupts import terminable
from nbmlops.execution.kernels import KernelEnvironment, kernel_of
from nbmlops.execution.notebooks.notebook import (
    code_sources,
    find_notebook,
    read_notebook,
)
from nbmlops.execution.notebooks.output_file import check_output
from nbmlops.execution.outcome import StepResult
from nbmlops.execution.parameters.parameters import check_parameters, parameters
from nbmlops.execution.recorder import Execution
from nbmlops.execution.recovery import recover_steps
from nbmlops.render.progress import CellBar
from nbmlops.store import Store, connect, fluent
from nbmlops.tracking.live_output import LiveOutput
from nbmlops.tracking.provenance.source import relative
from nbmlops.tracking.run.start import open_run


def run_notebook(
    path: str | Path,
    *,
    params: Mapping[str, object] | None = None,
    output: str | Path | None = None,
    experiment: str | None = None,
    name: str | None = None,
    timeout_s: float | None = None,
    cell_timeout_s: float | None = None,
    kernel_name: str | None = None,
    store: Store | None = None,
    environment: KernelEnvironment | None = None,
    cold: bool = False,
    jobs: int = 1,
    give_up: GiveUp | None = None,
    on_progress: OnProgress | None = None,
) -> StepResult:
    """Run a notebook in a process of its own and record it as one run.

    The runs its cells make become children of that run. The executed notebook is
    kept as the run's artifacts ``nbmlops/notebook.ipynb`` and ``.html``, however it
    ends, with the secrets in it masked.

    Parameters
    ----------
    path : str or Path
        The notebook; its folder is the kernel's working folder.
    params : Mapping of str to object, optional
        Values for names that the cell tagged ``parameters`` assigns. A secret, or
        the text ``secret:NAME``, is looked up by its name in the notebook's kernel.
    output : str or Path, optional
        Where the executed notebook is to be written, too.
    experiment : str, optional
        Experiment of the run and of its children; by default the one chosen with
        ``mlflow.set_experiment``, else the project's.
    name : str, optional
        The run's name; the notebook's by default.
    timeout_s : float, optional
        Seconds the whole notebook may take, above 0; no limit by default.
    cell_timeout_s : float, optional
        Seconds each of its cells may take, likewise.
    kernel_name : str, optional
        Kernel to use instead of the one the notebook names.
    store : Store, optional
        Where to record it; the project's store by default.
    environment : KernelEnvironment, optional
        Where else its kernel is to run, and what else the runs are to say.
    cold : bool, default=False
        Whether to start a kernel. By default the notebook runs in a fork of a process
        that has imported what it imports, where that does the same.
    jobs : int, default=1
        Notebooks that run at once: in a fork each has its part of the threads.
    give_up : callable, optional
        Asked several times a second; a text other than "" is why the notebook is not
        to go on. It is interrupted then, and its run is ``KILLED``.
    on_progress : callable, optional
        Given a `CellProgress` at the start and whenever a cell begins: cells done, and
        in all, and the first line of the one that runs. By default a bar below the
        cell of a notebook.

    Returns
    -------
    StepResult
        Every cell came to its end.

    Raises
    ------
    UsageError
        The notebook, a parameter, the output or the limit cannot be used.
    NotFoundError
        There is no such notebook, kernel or secret.
    DependencyError
        No keyring can be asked for a secret.
    NotebookError
        A cell raised or called ``sys.exit``, the time ran out, the kernel died, or it
        was given up.
    StoreError
        The store or the output's disk could not be written.
    KeyboardInterrupt
        Someone interrupted it; the run is ``KILLED`` and the kernel gone.
    """
    started = time.monotonic()
    source = find_notebook(path)
    notebook = read_notebook(source)
    declared = parameters(notebook)
    values = check_parameters(declared, params or {})
    if jobs < 1:
        raise UsageError(f"There are {jobs} jobs.", fix="Give at least 1.")
    limits = {"timeout_s": timeout_s, "cell_timeout_s": cell_timeout_s}
    for limit, given_s in limits.items():
        if given_s is not None and not (isinstance(given_s, Real) and given_s > 0):
            raise UsageError(
                f"The limit is {given_s!r} seconds.",
                fix=f"Give {limit}= a number above 0.",
            )
    environment = environment or KernelEnvironment()
    kernel = kernel_of(notebook, kernel_name)
    environment.find_kernel(kernel)

    from nbmlops.execution.parameters.parameterize import inject

    ready = inject(notebook, values, kernel_name=kernel)
    target = None if output is None else check_output(output, source)
    store = store or connect()
    recover_steps(store.settings)
    experiment = experiment or fluent.default_experiment(store)
    source_name = environment.source or relative(source, store.settings.project)
    ready.metadata.papermill.update(
        input_path=source_name, parameters=to_json(mask_tree(values)), output_path=None
    )
    defaults = {
        parameter.name: parameter.default
        for parameter in (declared or {}).values()
        if parameter.is_literal
    }
    with terminable():
        run = open_run(
            store,
            name=name or source.stem,
            kind="step",
            experiment=experiment,
            params=defaults | values,
            tags={
                "mlflow.source.name": source_name,
                "mlflow.source.type": "NOTEBOOK",
                "nbmlops.code_hash": code_hash(code_sources(notebook)),
                **environment.context,
            },
            notebook=str(source),
        )
        execution = Execution(
            run=run,
            source=source,
            notebook=notebook,
            executed=ready,
            environment=environment,
            target=target,
            timeout_s=timeout_s,
            cell_timeout_s=cell_timeout_s,
        )
        report = on_progress or _progress_bar(source.name)
        try:
            execution.execute(kernel, report, cold=cold, jobs=jobs, give_up=give_up)
        except BaseException as error:
            run.close(error)
            raise
        if execution.interrupt is not None:
            raise execution.interrupt from execution.problem
        if execution.problem is not None:
            raise execution.problem
    return StepResult(
        run_id=run.run_id,
        status="FINISHED",
        notebook=str(source),
        output=None if target is None else str(target),
        duration_s=time.monotonic() - started,
        run_ids=execution.children,
        notes=run.notes,
        values=execution.values,
    )


def _progress_bar(name: str) -> OnProgress:
    """Return what shows a bar below the cell of a notebook; nothing anywhere else."""
    output, began = LiveOutput(f"running {name}"), time.monotonic()
    return lambda progress: output.show(CellBar(progress, time.monotonic() - began))
