"""Jobs of jupyter-scheduler as tracked steps.

For its configuration::

    c.Scheduler.execution_manager_class = "nbmlops.server.scheduling.ExecutionManager"
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nbmlops.config import load_settings
from nbmlops.errors import DependencyError, NotebookError
from nbmlops.execution.kernels import KernelEnvironment
from nbmlops.execution.notebooks.notebook import read_notebook
from nbmlops.execution.parameters.parameters import parameters, parse_text
from nbmlops.execution.run import run_notebook
from nbmlops.store import Store, artifacts, connect

if TYPE_CHECKING:
    from jupyter_scheduler.executors import DefaultExecutionManager as _Base
else:
    try:
        from jupyter_scheduler.executors import DefaultExecutionManager as _Base
    except ImportError:

        class _Base:
            def __init__(self, *_: object, **__: object) -> None:
                raise DependencyError(
                    "jupyter-scheduler is not installed.",
                    fix='Install it: pip install "nbmlops[scheduler]"',
                )


class ExecutionManager(_Base):  # type: ignore[misc]
    """Runs a job's notebook as one tracked step of the project around the root.

    It works in the folder of the job's copy, as the scheduler's own do. Parameters are
    read as on the command line and checked before it starts. The executed notebook is
    the job's output however it ends.
    """

    def execute(self) -> None:
        """Run the notebook as it was when the job was made."""
        job = self.model
        copy = Path(self.staging_paths["input"])
        store = connect(load_settings(Path(self.root_dir)))
        declared = parameters(read_notebook(copy))
        texts: dict[str, object] = job.parameters or {}
        given = {n: parse_text(declared, n, str(text)) for n, text in texts.items()}
        run_id = None
        try:
            run_id = run_notebook(
                copy,
                params=given,
                name=job.name,
                store=store,
                environment=KernelEnvironment(source=job.input_filename),
            ).run_id
        except NotebookError as error:
            run_id = error.run_id
            raise
        finally:
            if run_id is not None:
                self._hand_over(store, run_id)

    def _hand_over(self, store: Store, run_id: str) -> None:
        """Make the executed notebook the job's output, in the formats it asks for."""
        import nbformat

        content = artifacts.read_file(store, run_id, "nbmlops/notebook.ipynb")
        executed = nbformat.reads(content.decode(), as_version=4)  # type: ignore[no-untyped-call]
        self.create_output_files(self.model, executed)
        self.add_side_effects_files(str(Path(self.staging_paths["input"]).parent))

    def on_failure(self, e: Exception) -> None:
        """Note that the job has failed, and when, which the scheduler leaves out."""
        from jupyter_scheduler.orm import Job
        from jupyter_scheduler.utils import get_utc_timestamp

        super().on_failure(e)
        with self.db_session() as session:
            jobs = session.query(Job).filter(Job.job_id == self.job_id)
            jobs.update({"end_time": get_utc_timestamp()})
            session.commit()
