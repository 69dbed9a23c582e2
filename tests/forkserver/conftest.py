"""The fixtures of one notebook's tests serve those of forks, too."""

from tests.execution.conftest import _no_kernel_is_left, executed, write

__all__ = ["_no_kernel_is_left", "executed", "write"]
