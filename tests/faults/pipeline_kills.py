"""kill -9 of a pipeline's process group at random points, then the same command."""

import random
import shutil
import time
from collections import Counter

import nbformat
import psutil

from nbmlops.config import load_settings
from nbmlops.store import connect
from nbmlops.store.runs import queries
from tests.notebooks import write_notebook
from tests.pipeline.pipelines import (
    command,
    finish,
    kill_group,
    ledger,
    write_chain,
    write_pipeline,
)

MOST_TRIES = 4
LONGEST_END_S = 20.0  # of a worker whose runner was killed


def write_project(folder):
    """Write a chain of notebooks of which the last has an effect that is to be once."""
    (folder / ".nbmlops").mkdir(parents=True)
    write_chain(folder)
    write_notebook(
        folder / "send.ipynb",
        [
            "print('send', file=open('ledger.txt', 'a', buffering=1))\n"
            "open('sent.txt', 'w').write(str(score))"
        ],
        parameters="score: float = 0.0",
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
          send:
            notebook: send.ipynb
            outputs: [sent.txt]
            params: {score: "${{ steps.train.values.score }}"}
            once: true
        """,
    )


def kill_pipelines(n, seed, *, folder):
    """Kill ``n`` pipelines, each at a random point, and count what came of them.

    Parameters
    ----------
    n, seed : int
        How many, and where the points come from.
    folder : Path
        Where their projects are made.

    Returns
    -------
    Counter
        ``killed`` while it ran, ``right`` at the end, ``refused`` because it is not
        known whether the effect took place; and each fault that was found.
    """
    tally = Counter()
    source = random.Random(seed)  # noqa: S311
    whole_s = 0.0
    for i in range(-2, n):
        project = folder / f"project {i}"
        write_project(project)
        words = ("pipeline", "run", "pipeline.yaml")
        began = time.monotonic()
        process = command(project, *words)
        if i < 0:  # the second that is left alone tells how long they take
            code, _, err = finish(process)
            assert code == 0, err
            whole_s = time.monotonic() - began
        else:
            time.sleep(source.uniform(0.1, whole_s))
            tally["killed"] += process.poll() is None
            kill_group(process)
            code, err = _again(project, words)
        tally.update(_look_at(project, code, err))
        if not any(name.startswith("fault") for name in tally):
            shutil.rmtree(project)
    return tally


def _again(project, words):
    for _ in range(MOST_TRIES):
        code, _, err = finish(command(project, *words))
        if code == 0 or "is to be done once" in err:
            break
    return code, err


def _look_at(project, code, err):
    """Yield what is to be counted of a project whose pipeline has come to its end."""
    sent = ledger(project).count("send")
    is_refused = "is to be done once" in err
    yield "refused" if is_refused else "right" if code == 0 else f"fault: {err}"
    if sent != 1 and not (is_refused and sent == 0):
        yield f"fault: sent {sent} times"
    if code == 0:
        if (project / "build" / "clean.txt").read_text() != "1 2 3":
            yield "fault: a wrong output"
        if (project / "sent.txt").read_text() != "12.0":
            yield "fault: a wrong receipt"
    code, out, err = finish(command(project, "pipeline", "status", "pipeline.yaml"))
    if code != 0:
        yield f"fault: status {out} {err}"
    for path in project.glob("*.ipynb"):
        nbformat.validate(nbformat.read(path, 4))
    for path in (project / ".nbmlops" / "artifacts").rglob("*.ipynb"):
        nbformat.validate(nbformat.read(path, 4))
    store = connect(load_settings(project))
    if queries.list_running(store):
        yield "fault: a run is open"
    if is_refused:
        return
    until = time.monotonic() + LONGEST_END_S
    while left := [p.pid for p in psutil.process_iter() if _is_of(p, project)]:
        if time.monotonic() > until:
            yield f"fault: {left} is left"
            return
        time.sleep(0.1)


def _is_of(process, project):
    try:
        return process.cwd() == str(project)
    except psutil.Error:
        return False
