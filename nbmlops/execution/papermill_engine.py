"""nbmlops as an engine of papermill: ``papermill --engine nbmlops in.ipynb out.ipynb``.

papermill imports this whenever it is imported itself, so it imports nothing heavy.
"""

from __future__ import annotations

from typing import Any


class Engine:
    """Runs a notebook for papermill in a fork, or in a kernel, with the truth about it.

    Nothing is recorded as an MLflow run; that is what ``nbmlops run`` does.
    """

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,  # noqa: ANN401
        kernel_name: str | None,
        output_path: str | None = None,
        **options: Any,
    ) -> Any:  # noqa: ANN401
        """Run a notebook to its end, as papermill asks its engines."""
        from nbmlops.execution.papermill_adapter import run_for_papermill

        return run_for_papermill(nb, kernel_name, output_path, **options)

    @staticmethod
    def nb_kernel_name(nb: Any, name: str | None = None) -> str:  # noqa: ANN401
        """Return the name of a notebook's kernel, as papermill finds it."""
        from papermill.utils import nb_kernel_name

        return str(nb_kernel_name(nb, name))

    @staticmethod
    def nb_language(nb: Any, language: str | None = None) -> str:  # noqa: ANN401
        """Return the language of a notebook, as papermill finds it."""
        from papermill.utils import nb_language

        return str(nb_language(nb, language))
