"""The kernels that notebooks are run in, and where."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmlops.errors import NotFoundError, did_you_mean

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelEnvironment:
    """Where and how the kernel of a step runs, other than by default."""

    folder: Path | None = None
    kernels: Path | None = None
    source: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)

    def kernel_specs(self) -> KernelSpecManager:
        """Return what knows the kernels that a step may name."""
        from jupyter_client.kernelspec import KernelSpecManager

        if self.kernels is None:
            return KernelSpecManager()
        folders = [str(self.kernels)]
        return KernelSpecManager(kernel_dirs=folders, ensure_native_kernel=False)

    def find_kernel(self, name: str) -> KernelSpec:
        """Return the spec of an installed kernel."""
        from jupyter_client.kernelspec import NoSuchKernel

        manager = self.kernel_specs()
        try:
            return manager.get_kernel_spec(name)
        except NoSuchKernel as error:
            known = sorted(manager.find_kernel_specs())
            raise NotFoundError(
                f"No kernel {name!r} is installed.{did_you_mean(name, known)}",
                fix=f"Give kernel_name={known[0]!r}."
                if len(known) == 1
                else f"Give kernel_name= one of: {', '.join(known)}.",
            ) from error


def kernel_of(notebook: Any, given: str | None = None) -> str:  # noqa: ANN401
    """Return the name of the kernel a notebook is run with."""
    return str(given or notebook.metadata.get("kernelspec", {}).get("name", "python3"))


def read_kernel(name: str) -> dict[str, Any]:
    """Return the spec of an installed kernel, fast where its file is found."""
    from jupyter_core.paths import jupyter_path

    for folder in jupyter_path("kernels"):
        path = Path(folder, name, "kernel.json")
        try:
            spec = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(spec, dict) and spec.get("argv"):
            return spec
    if name == "python3":  # the kernel of this Python, which needs no file
        return {"argv": [sys.executable], "language": "python"}
    found: dict[str, Any] = KernelEnvironment().find_kernel(name).to_dict()
    return found
