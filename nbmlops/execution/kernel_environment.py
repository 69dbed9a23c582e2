"""Where the kernel of a step runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_client.kernelspec import KernelSpecManager


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
