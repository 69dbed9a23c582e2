"""Signals that a child of the supervisor gets before it is one."""

import asyncio
import os
import signal

from nbmlops.deployment.supervisor.workers import exit_reason, fork_child


def test_a_child_that_is_ended_at_once_does_not_end_its_supervisor():
    async def end_children(n=300):
        loop, seen = asyncio.get_running_loop(), []
        loop.add_signal_handler(signal.SIGTERM, seen.append, "SIGTERM")
        pids = []
        for _ in range(n):
            pid = fork_child("nbmlops test", lambda: signal.pause() or 0)
            os.kill(pid, signal.SIGTERM)
            pids.append(pid)
        await asyncio.sleep(0.2)
        loop.remove_signal_handler(signal.SIGTERM)
        return pids, seen

    pids, seen = asyncio.run(end_children())
    assert seen == []
    for pid in pids:
        while (reason := exit_reason(pid)) == "it is gone":
            pass
        assert reason == "signal SIGTERM"
