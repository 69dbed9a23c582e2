"""Where the kernel of a step runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpecManager


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where and how the kernel of a step runs, other than by default.

    Attributes
    ----------
    folder : Path or None
        The kernel's working folder; that of the notebook by default.
    kernels : Path or None
        A folder of kernel specs to look for the kernel in.
    source : str or None
        What the run and its children name as their source; the notebook by default.
    context : Mapping of str to str
        Tags of the run and of its children.
    env : Mapping of str to str
        Variables to add to the kernel's environment.
    """

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
