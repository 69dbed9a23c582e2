"""A real kernel for tests, asked cell by cell."""

import os
import queue
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

from jupyter_client.manager import KernelManager


@dataclass
class Reply:
    """What a cell answered."""

    status: str
    error: str | None = None
    outputs: list = field(default_factory=list)

    @property
    def text(self):
        """All text of the outputs, tracebacks included."""
        parts = []
        for message in self.outputs:
            content = message["content"]
            parts.append(content.get("text") or "\n".join(content.get("traceback", [])))
            parts.append(content.get("data", {}).get("text/plain", ""))
        return "\n".join(filter(None, parts))

    def count(self, kind):
        """Return how many outputs are of this message type."""
        return sum(message["msg_type"] == kind for message in self.outputs)


class Kernel:
    """A started kernel."""

    def __init__(self, folder, env=None):
        for is_last in (False, False, True):
            self.manager = KernelManager(kernel_name="python3")
            whole = {**os.environ, **(env or {})}
            self.manager.start_kernel(cwd=str(folder), env=whole)
            self.client = self.manager.client()
            self.client.start_channels()
            try:
                self.client.wait_for_ready(timeout=60)
                break
            except RuntimeError:  # another process took a port that was free
                if is_last:
                    raise
                self.shutdown()

    def send(self, source, cell_id=None):
        """Send a cell without waiting, and return its message id."""
        if cell_id is None:
            return self.client.execute(source)
        content = {"code": source, "silent": False, "store_history": True}
        message = self.client.session.msg("execute_request", content)
        message["metadata"]["cellId"] = cell_id
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def wait(self, message_id, timeout=60):
        """Return the reply of a sent cell."""
        outputs, deadline = [], time.monotonic() + timeout
        while True:
            message = self.client.get_iopub_msg(timeout=deadline - time.monotonic())
            if message["parent_header"].get("msg_id") != message_id:
                continue
            if message["msg_type"] == "status":
                if message["content"]["execution_state"] == "idle":
                    break
            elif message["msg_type"] != "execute_input":
                outputs.append(message)
        content = self.reply_to(message_id, timeout)
        return Reply(content["status"], content.get("ename"), outputs)

    def reply_to(self, message_id, timeout=60):
        """Return the content of the shell's reply to a sent cell."""
        while True:
            reply = self.client.get_shell_msg(timeout=timeout)
            if reply["parent_header"].get("msg_id") == message_id:
                return reply["content"]

    def run(self, source, timeout=60, cell_id=None):
        """Run a cell, maybe under its id in a notebook, and return its reply."""
        return self.wait(self.send(source, cell_id), timeout)

    def await_text(self, text, timeout=60):
        """Wait until a running cell has printed the text."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            if text in message["content"].get("text", ""):
                return
        raise TimeoutError(text)

    def interrupt(self):
        """Interrupt the running cell, as the stop button does."""
        self.manager.interrupt_kernel()

    def shutdown(self):
        """Ask the kernel to leave, as closing the notebook does."""
        self.client.stop_channels()
        self.manager.shutdown_kernel()


@contextmanager
def kernel(folder, env=None):
    """Give a kernel in a folder, and stop it at the end."""
    running = Kernel(folder, env)
    try:
        yield running
    finally:
        if running.manager.is_alive():
            running.shutdown()
