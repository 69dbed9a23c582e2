"""Small pipelines for tests, and the command as users call it."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil

from tests.notebooks import write_notebook

ROOT = Path(__file__).parents[2]


def write_pipeline(folder, text, name="pipeline.yaml"):
    """Write a pipeline file and return its path."""
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def write_chain(folder):
    """Write data, and a pipeline of two notebooks of which one reads the other's file.

    Each notebook adds a line to ``ledger.txt`` when it runs.
    """
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "raw.csv").write_text("1\n2\n3\n", encoding="utf-8")
    write_notebook(
        folder / "prepare.ipynb",
        [
            "from pathlib import Path\n"
            "print('prepare', file=open('ledger.txt', 'a'))\n"
            "rows = Path('data/raw.csv').read_text().split() * times\n"
            "Path('build').mkdir(exist_ok=True)\n"
            "Path('build/clean.txt').write_text(' '.join(rows))",
            "import nbmlops as nm\nnm.emit(rows=len(rows), first=rows[0])",
        ],
        parameters="times: int = 1",
    )
    write_notebook(
        folder / "train.ipynb",
        [
            "import nbmlops as nm\nfrom pathlib import Path\n"
            "print('train', file=open('ledger.txt', 'a'))\n"
            "total = sum(map(int, Path('build/clean.txt').read_text().split()))\n"
            "nm.emit(score=total * C, n=n)"
        ],
        parameters="C: float = 1.0\nn: int = 0",
    )
    return write_pipeline(
        folder,
        """\
        name: chain
        steps:
          prepare:
            notebook: prepare.ipynb
            inputs: [data/raw.csv]
            outputs: [build/clean.txt]
          train:
            notebook: train.ipynb
            inputs: [build/clean.txt]
            params: {C: 2.0, n: "${{ steps.prepare.values.rows }}"}
        """,
    )


def ledger(folder):
    """Return the lines of the ledger."""
    path = folder / "ledger.txt"
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []


def states(report):
    """Return the state of each step."""
    return {each.step: each.state for each in report.steps}


def command(folder, *words, **options):
    """Return the started command; it is of a process group of its own."""
    env = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "nbmlops.cli", *words],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def finish(process, limit_s=180):
    """Wait for a command, and return its exit code, stdout and stderr."""
    out, err = process.communicate(timeout=limit_s)
    return process.returncode, out, err


def kill_group(process):
    """Kill -9 a command and all of its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def wait_until(is_so, limit_s=120):
    """Poll until something is so."""
    deadline = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_senders(limit_s=120):
    """Wait for the processes that send journals beside this one."""
    me = psutil.Process()
    wait_until(lambda: not any(map(is_sender, me.children(recursive=True))), limit_s)


def is_sender(process):
    try:
        return process.cmdline()[-1:] == ["nbmlops.tracking.sync.worker"]
    except psutil.Error:
        return False
