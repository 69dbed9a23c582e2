"""The output of a tracked cell: live while it runs, and then what stays."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from nbmlops.notebook.output.panel import MAX_METRICS, Panel, tqdm_progress
from nbmlops.render.formats import format_bytes, format_duration
from nbmlops.tracking.live_output import CellOutput, parent_of
from nbmlops.tracking.resources.budget import stack

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbmlops.entities import RunStatus
    from nbmlops.notebook.cell_run import CellRun

_FIRST_AFTER_S = 0.5
_EVERY_S = 0.5  # with the start or the end in it, no second has more than four messages
_PLAIN = (str, int, float, bool, type(None))
# A button that works without a script: JupyterLab runs the command it names.
_STOP = (
    '<button type="button" class="jp-mod-styled" style="height:22px;line-height:20px;'
    'padding:0 10px" title="Interrupt the kernel, which goes on" '
    'data-commandlinker-command="notebook:interrupt-kernel" '
    'data-commandlinker-args="{}">Stop</button>'
)


class LivePanel:
    """What a kernel shows of a run while it is open; nothing outside of a kernel."""

    def __init__(
        self, tracked: CellRun, shell: InteractiveShell, *, is_lasting: bool
    ) -> None:
        self._tracked = tracked
        self._shell = shell
        self._is_lasting = is_lasting
        self._is_kernel = hasattr(shell.display_pub, "pub_socket")
        self._before = {
            name: shell.user_ns.get(expression)
            for name, expression in tracked.options.params
        }
        self._wake = waker(shell)
        self._has_ended = threading.Event()
        self._line, self._panel = CellOutput(shell), CellOutput(shell)
        if not self._is_kernel:
            return
        if is_lasting:
            self._update()
        self._thread = threading.Thread(
            target=self._keep_up, name="nbmlops-live", daemon=True
        )
        self._thread.start()

    @property
    def is_shown(self) -> bool:
        """Whether the cell has an output that shows how the run ended."""
        return self._line.is_shown

    def end(self, status: RunStatus, reason: str | None) -> None:
        """Show no more but how it ended, when anything was shown."""
        self._has_ended.set()
        if not self._is_kernel:
            return
        self._thread.join()
        if self.is_shown:
            line = self._tracked.line()
            self._line.show(line._repr_html_(), repr(line))
        if not self._panel.is_shown:
            return
        panel = self._state(status, reason)
        parent = parent_of(self._shell)
        self._panel.show(panel.html(), panel.text(), parent=parent)

    def _keep_up(self) -> None:
        before: object = None
        pause = _FIRST_AFTER_S
        while not self._has_ended.wait(pause):
            pause = _EVERY_S
            tracked = self._tracked
            if not (self.is_shown or self._is_lasting or self._is_in_code()):
                continue  # a short cell has its one line at the end
            seen = dict(tracked.run.metrics), tracked.params()
            if tracked.is_running or seen != before:
                before = seen
                self._update()
                self._wake()
                tracked.suppress_logs()

    def _is_in_code(self) -> bool:
        """Return whether the cell's code runs, and not what IPython does after it."""
        if not self._tracked.is_running:
            return False
        main = sys._current_frames().get(threading.main_thread().ident or 0)
        frames = stack(main)
        is_on_stack = any(f.f_globals is self._shell.user_global_ns for f in frames)
        return is_on_stack or any("await" in text for text in self._tracked.sources)

    def _update(self) -> None:
        if not self._is_lasting and not self._line.is_shown:
            line = self._tracked.line(is_open=True)
            stop = _STOP if has_commands(self._shell) else ""
            html = f"{line._repr_html_()}{stop}"
            self._line.show(
                f'<div style="display:flex;align-items:center;gap:12px">{html}</div>',
                repr(line),
            )
        panel = self._state("RUNNING", None)
        parent = parent_of(self._shell) if self._is_lasting else None
        self._panel.show(panel.html(), panel.text(), parent=parent)

    def _state(self, status: RunStatus, reason: str | None) -> Panel:
        tracked, is_open = self._tracked, status == "RUNNING"
        usage = tracked.usage
        facts = [reason] if reason else []
        facts += [format_duration(usage.wall_s), f"cpu {format_duration(usage.cpu_s)}"]
        facts.append(format_bytes(usage.peak_bytes))
        if usage.usd is not None:
            facts.append(f"${usage.usd:.2g}")
        if usage.energy_wh is not None:
            facts.append(f"{usage.energy_wh:.2g} Wh")
        if is_open:
            facts.append(f"seen {time.strftime('%H:%M:%S')}")
        metrics = dict(tracked.run.metrics)
        curves = {
            name: tracked.run.curves.points(name)
            for name in islice(metrics, MAX_METRICS)
        }
        return Panel(
            status=status,
            facts=facts,
            progress=tqdm_progress() if is_open and tracked.is_running else None,
            params=(self._peek() if is_open else {}) | tracked.params(),
            metrics=metrics,
            curves={
                name: points
                for name, points in curves.items()
                if points and points[0][0] < points[-1][0]
            },
        )

    def _peek(self) -> dict[str, str]:
        """Return the params asked for whose variables the code has set by now."""
        found = {}
        for name, expression in self._tracked.options.params:
            value = self._shell.user_ns.get(expression)
            is_set = value is not self._before[name]
            is_set |= expression not in self._tracked.assigned()
            if value is not None and is_set and issubclass(type(value), _PLAIN):
                found[name] = str(value)
        return found


def has_commands(shell: InteractiveShell) -> bool:
    """Return whether the front end that runs this cell is JupyterLab or like it."""
    return "subshell_id" in parent_of(shell)  # elsewhere the button would be dead


def waker(shell: InteractiveShell) -> Callable[[], None]:
    """Return what wakes a kernel's event loop; calls never pile up.

    Python runs a signal's handler in the main thread, but a loop that waits for a
    message does not notice what the handler asks of it.
    """
    loop = getattr(getattr(shell, "kernel", None), "io_loop", None)
    has_looked = threading.Event()
    has_looked.set()

    def wake() -> None:
        if loop is not None and has_looked.is_set():
            has_looked.clear()
            loop.add_callback(has_looked.set)

    return wake
