"""IPython's kernel without sockets: made once in the parent, used once in each fork."""

from __future__ import annotations

import os
import sys
import threading
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ipykernel import debugger  # noqa: F401 - looks for debugpy here, and once
from ipykernel.displayhook import ZMQDisplayHook
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp

from .messages import MessagePipe, OutStream, PipeSession

PIPE = MessagePipe()
NO_HISTORY = "--HistoryManager.hist_file=:memory:"
"""An argument that notebook clients give every kernel."""


class Kernel(IPythonKernel):
    """Runs cells; what it would send over sockets goes through a pipe."""

    def _abort_queues(self, subshell_id: str | None = None) -> None:
        """Abort nothing: cells are given one by one."""


class App(IPKernelApp):
    """What a kernel process sets up around its shell, less the sockets."""

    kernel_class = Kernel
    kernel: Any
    shell: Any

    def initialize(self, argv: Any = None) -> None:  # noqa: ANN401
        """Make the kernel and its shell as far as that is the same for every run."""
        super(IPKernelApp, self).initialize(argv)  # type: ignore[no-untyped-call]
        self.init_pdb()  # type: ignore[no-untyped-call]
        self.configure_tornado_logger()  # type: ignore[no-untyped-call]
        self.session = PipeSession(parent=self)
        self.session.pipe = PIPE
        self.init_io()
        self.init_kernel()
        self.init_shell()  # type: ignore[no-untyped-call]
        self._asks_for_extensions = bool(self.extensions or self.extra_extensions)
        if not self._asks_for_extensions:
            self.init_extensions()  # type: ignore[no-untyped-call]
        self.shell.display_formatter.format(0)

    def note_modules(self) -> None:
        """Note what is imported before the first cell, as ``%reset`` asks for it."""
        self.shell._sys_modules_keys = set(sys.modules)

    def init_io(self) -> None:
        """Have what Python writes become messages."""
        sys.stdout = OutStream(PIPE, "stdout", 1)
        sys.stderr = OutStream(PIPE, "stderr", 2)
        hook: Any = ZMQDisplayHook
        self.displayhook = sys.displayhook = hook(self.session, None)

    def init_kernel(self) -> None:
        """Make the kernel, and with it its shell."""
        self.kernel = Kernel.instance(
            parent=self,
            session=self.session,
            shell_channel_thread=SimpleNamespace(
                parent_thread=threading.main_thread(), manager=None
            ),
            log=self.log,
            profile_dir=self.profile_dir,
            user_ns=self.user_ns,
        )
        self.displayhook.get_execution_count = lambda: self.kernel.execution_count

    def begin(self, folder: Path) -> None:
        """Make of the parent's kernel one of this process, working in ``folder``."""
        kernel, shell = self.kernel, self.shell
        self.session.session = str(uuid.uuid4())
        kernel.ident = str(uuid.uuid4())
        shell.init_environment()
        shell.starting_dir = str(folder)
        shell.user_ns["_dh"][:] = [Path(folder)]
        name = os.environ.get("JPY_SESSION_NAME")
        if name:
            shell.user_ns["__session__"] = name

    def start_up(self) -> None:
        """Do what the user's configuration asks for, as a kernel does at its start."""
        self.init_path()  # type: ignore[no-untyped-call]
        self.init_gui_pylab()  # type: ignore[no-untyped-call]
        if self._asks_for_extensions:
            self.init_extensions()  # type: ignore[no-untyped-call]
        # `init_code`, less reading the names of all modules, each of which the fork
        # would have to copy: they are as they were in the parent.
        self._run_startup_files()  # type: ignore[no-untyped-call]
        self._run_exec_lines()  # type: ignore[no-untyped-call]
        self._run_exec_files()  # type: ignore[no-untyped-call]
        if self.hide_initial_ns:
            self.shell.user_ns_hidden.update(self.shell.user_ns)
        self._run_cmd_line_code()  # type: ignore[no-untyped-call]
        self._run_module()  # type: ignore[no-untyped-call]
        sys.stdout.flush()
        sys.stderr.flush()

    async def execute(self, source: str) -> None:
        """Run a cell as a kernel runs it that a notebook client asks."""
        content = {
            "code": source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        request = self.session.msg("execute_request", content)
        kernel = self.kernel
        kernel.pre_handler_hook()
        try:
            kernel.set_parent([], request)
            await kernel.execute_request(None, [], request)
        finally:
            kernel.post_handler_hook()


App.__name__ = IPKernelApp.__name__  # its logger has the name of its class
