"""Runs in forks: the same as in a kernel, each by itself, and gone at the end."""

import errno
import gc
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import nbformat
import psutil
import pytest

from nbmlops.config import Warm
from nbmlops.execution.clients.choice import why_no_fork
from nbmlops.execution.kernels import KernelEnvironment
from nbmlops.forkserver import fork_server
from nbmlops.forkserver.fork import ForkedProcess, start_fork
from nbmlops.forkserver.registry import list_servers, make_room, stop_servers
from nbmlops.forkserver.runtime_dir import ForkUnavailable
from tests.forkserver.runs import (
    assert_same,
    made,
    own_parents,
    pytestmark,
    run,
    text,
    wait_until,
    warm,
)
from tests.tiers import some

__all__ = ["own_parents", "pytestmark"]

SAME = {
    "values, In and Out": ("1", "_ + 1", "In[1], Out[2], _, __", "In[-1]; None"),
    "streams": (
        "import sys\nprint('a')\nprint('b', file=sys.stderr)\nprint('c', flush=True)",
    ),
    "an error": ("def f(x):\n    return 1 / x\nf(0)",),
    "an error in a called cell": ("def f(x):\n    return {}[x]", "f('k')"),
    "a syntax error": ("1 +",),
    "an error that may be": ("1 / 0", "2"),
    "a shell command": ("!echo hi; echo there", "x = !echo a b\nx"),
    "another cell magic": ("%%bash\necho $((1 + 2))", "%%capture c\nprint(1)", "c()"),
    "time and history": ("x = 1", "%history -n", "%who_ls"),
    "displays": (
        "from IPython.display import HTML, Markdown, JSON, display\n"
        "display(HTML('<b>x</b>'), metadata={'isolated': True})\ndisplay(1, 2)",
        "JSON({'a': [1, 2]})",
    ),
    "updates of a display in later cells": (
        "from IPython.display import display\n"
        "handle = display('first', display_id='d')\nprint('x')",
        "handle.update('second')",
        "display('third', display_id='d')",
    ),
    "cleared outputs": (
        "from IPython.display import clear_output\n"
        "print('gone')\nclear_output()\nprint('kept')",
        "print('gone')\nclear_output(wait=True)\nprint('kept')",
        "print('kept')\nclear_output(wait=True)",
    ),
    "await": (
        "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 7",
        "await f()",
        "task = asyncio.create_task(f())",
        "await task",
        "asyncio.run(f())",
    ),
    "a plot": (
        "import matplotlib.pyplot as plt\nfig, ax = plt.subplots(figsize=(1, 1))",
        "plt.plot([1, 2]); plt.show()",
        "import matplotlib; matplotlib.get_backend()",
        "%matplotlib inline\nplt.figure(figsize=(1, 1)); plt.plot([3, 1])",
    ),
    "a frame": (
        "import pandas as pd\nframe = pd.DataFrame({str(i): [i] for i in range(40)})",
        "frame",
        "frame.describe()",
        "pd.get_option('display.max_columns')",
        "print(frame.shape)",
    ),
    "who it is": (
        "import os, sys\nos.getcwd(), sys.argv[:2], __name__, sys.flags",
        "get_ipython().__class__, get_ipython().config.get('IPKernelApp') is not None",
        "sorted(name for name in globals() if not name.startswith('_'))",
        "sys.path",
        "sorted(k for k in os.environ if not k.startswith(('KMP_', 'PYDEVD_')))",
        "os.getpgid(0) == os.getpid(), os.getsid(0) == os.getpid(), os.umask(0o22)",
        "import threading; threading.current_thread().name",
        "import signal\n[signal.getsignal(n) for n in (2, 15, 13)]",
    ),
    "input": ("input('name? ')",),
    "getpass": ("import getpass\ngetpass.getpass()",),
    "sys.exit": ("import sys\nsys.exit(3)",),
    "exit": ("print('x'); exit()", "1"),
    "a fit on several threads": (
        "import numpy as np\n"
        "from sklearn.ensemble import HistGradientBoostingClassifier\n"
        "rng = np.random.default_rng(0); X = rng.normal(size=(2000, 5))\n"
        "model = HistGradientBoostingClassifier(max_iter=5).fit(X, X[:, 0] > 0)",
        "model.score(X, X[:, 0] > 0)",
        "from sklearn.cluster import KMeans\n"
        "KMeans(3, random_state=0, n_init=1).fit(X).inertia_.round(6)",
        "import threadpoolctl\n"
        "sorted((i['user_api'], i['num_threads'])"
        " for i in threadpoolctl.threadpool_info())",
        "A = rng.normal(size=(300, 300)); np.linalg.svd(A @ A.T)[1][:2].round(3)",
    ),
    "processes": (
        "import multiprocessing\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    found = pool.map(abs, [-1, -2])\nfound",
        "with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "    found = pool.map(abs, [-3])\nfound",
        "from joblib import Parallel, delayed\n"
        "Parallel(n_jobs=2)(delayed(abs)(-i) for i in range(3))",
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(2) as pool:\n    found = list(pool.map(abs, [-4]))\n"
        "found",
    ),
    "a database and files": (
        "import sqlite3, tempfile, uuid, os\ndb = sqlite3.connect('a.db')",
        "db.execute('create table if not exists t (x)'); db.commit()\n"
        "db.execute('select count(*) from t').fetchall()",
        "with tempfile.NamedTemporaryFile() as f:\n    ok = os.path.exists(f.name)\nok",
        "len({uuid.uuid4(), uuid.uuid1()})",
    ),
    "warnings and logs": (
        "import warnings, logging\nwarnings.warn('careful')",
        "logging.getLogger('x').warning('heard')",
        "warnings.warn('old', DeprecationWarning)",
    ),
    "a progress bar": ("from tqdm import tqdm\nlist(tqdm([1], disable=True))",),
    "long output": ("print('x' * 100000)", "'y' * 3000"),
    "a local module": ("import beside\nbeside.VALUE",),
}


@pytest.mark.parametrize("name", some(SAME))
def test_a_fork_shows_the_same_as_a_kernel(tmp_path, name):
    (tmp_path / "beside.py").write_text("VALUE = 5")
    tags = ["raises-exception"] if name in ("an error that may be",) else []
    assert_same(SAME[name], tmp_path, tags)


def test_what_is_written_below_python_is_caught_in_its_cell(tmp_path):
    notebook = run(
        "import os, subprocess, ctypes\nos.write(1, b'one\\n')",
        "subprocess.run(['sh', '-c', 'echo two; echo three >&2'])\nNone",
        "ctypes.CDLL(None).puts(b'four')\nNone",
        "if os.fork() == 0:\n    print('five', flush=True)\n    os._exit(0)\n"
        "os.wait()\nNone",
        "print('six')\nprint('seven')\n"
        "if os.fork() == 0:\n    print('eight')\n    os._exit(0)\n"
        "os.wait()\nNone",
        folder=tmp_path,
    )
    assert "one\n" in text(notebook, 0)
    assert {o.name: o.text for o in notebook.cells[1].outputs} == {
        "stdout": "two\n",
        "stderr": "three\n",
    }
    assert text(notebook, 2) == "four\n"
    assert text(notebook, 3) == "five\n"
    reported = text(notebook, 4).split()
    assert sorted(reported) == ["eight", "seven", "six"]
    assert reported.index("six") < reported.index("seven")


LOUD = """
import signal

class Late(Exception):
    pass

def raise_late(*_):
    raise Late

signal.signal(signal.SIGALRM, raise_late)
n = 0
for _ in range(20):
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        while True:
            print("z" * 90_000, flush=True)
    except Late:
        n += 1
"""
NESTED = """
import gc, signal, time
signal.signal(signal.SIGALRM, lambda *_: print("tick", flush=True))
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)

class Loud:
    def __init__(self):
        self.me = self

    def __del__(self):
        print("gone", flush=True)

gc.set_threshold(50)
until = time.monotonic() + 1
while time.monotonic() < until:
    Loud()
    print("z" * 300, flush=True)
gc.set_threshold(700)
signal.setitimer(signal.ITIMER_REAL, 0)
"""
FORKED = """
import os
if os.fork() == 0:
    exit()
if os.fork() == 0:
    raise RuntimeError
if os.fork() != 0:
    os.wait(), os.wait(), os.wait()
"""


def test_what_interrupts_a_print_leaves_what_is_said_whole(tmp_path):
    notebook = run(LOUD, "print(n)", folder=tmp_path)
    assert set(text(notebook, 0)) == {"z", "\n"}
    assert text(notebook, 1) == "20\n"


def test_signal_handlers_and_finalizers_print_in_the_middle_of_a_print(tmp_path):
    notebook = run(NESTED, "print('done')", folder=tmp_path)
    reported = text(notebook, 0)
    assert "tick" in reported
    assert "gone" in reported
    assert text(notebook, 1) == "done\n"


def test_what_a_cell_forks_takes_no_other_cells(tmp_path):
    notebook = run(FORKED, "print('one')", "print('two')", folder=tmp_path)
    assert [text(notebook, n) for n in (1, 2)] == ["one\n", "two\n"]


def test_a_name_that_is_no_unicode_is_shown_as_a_kernel_shows_it(tmp_path):
    assert_same(["print('f\\udcff.dat')", "print('caf\\xe9')"], tmp_path)
    assert text(run(r"print('\ud800')", folder=tmp_path)) == "\\ud800\n"


def test_runs_share_nothing_but_what_was_imported(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = run(
        "import os, random, uuid\nimport numpy as np\n"
        "left = 1; os.environ['LEFT'] = 'x'",
        "import json; json.left = 1; os.umask(0o7); os.chdir('..')",
        "np.set_printoptions(precision=2); np.seterr(all='raise')\nNone",
        "random.random(), np.random.rand(), uuid.uuid4(), hash('x'), os.getpid()",
        folder=tmp_path / "a",
    )
    second = run(
        "import os, random, uuid, json\nimport numpy as np",
        "'left' in globals(), 'LEFT' in os.environ, hasattr(json, 'left'), os.getcwd()",
        "np.get_printoptions()['precision'], np.geterr()['over'], os.umask(0o22)",
        "random.random(), np.random.rand(), uuid.uuid4(), hash('x'), os.getpid()",
        folder=tmp_path / "b",
        env={"GIVEN": "1"},
    )
    assert "".join(text(second, 1).split()) == f"(False,False,False,'{tmp_path}/b')"
    assert text(second, 2) == "(8, 'warn', 18)"
    for one, other in zip(
        text(first).split(",")[:3], text(second).split(",")[:3], strict=True
    ):
        assert one != other


def test_numpy_and_python_draw_other_numbers_in_each_run(tmp_path):
    draws = {
        text(run("import numpy as np, random\nnp.random.rand()", folder=tmp_path))
        for _ in range(3)
    }
    assert len(draws) == 3


def test_threads_are_the_cores_over_the_jobs(tmp_path, monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)  # a Dask cluster sets them
    source = (
        "import numpy, sklearn, threadpoolctl, os\n"
        "sorted({(i['user_api'], i['num_threads'])"
        " for i in threadpoolctl.threadpool_info()}), len(os.sched_getaffinity(0))"
    )
    cores = len(os.sched_getaffinity(0))
    for jobs, width in ((1, cores), (cores, 1), (1, cores)):
        reported = text(run(source, folder=tmp_path, jobs=jobs))
        assert reported == f"([('blas', {width}), ('openmp', {width})], {cores})"


def test_variables_of_the_caller_reach_the_run_whole(tmp_path):
    source = "import os\nos.environ.get('PASSED'), os.environ.get('XDG_LEFT_OUT')"
    notebook = run(source, folder=tmp_path, env={"PASSED": "é"})
    assert text(notebook) == "('é', None)"


@pytest.mark.parametrize(
    ("death", "code"),
    [("import os; os._exit(7)", 7), ("import ctypes; ctypes.string_at(0)", -11)],
)
def test_a_death_is_reported_with_its_last_words(tmp_path, death, code):
    notebook = made("print('before')", death, "never")
    ending = warm(notebook, tmp_path).run()
    assert (ending.how, ending.cell_index) == ("died", 1)
    assert ending.reason == f"exit code {code}"
    if code < 0:
        assert "Segmentation fault" in ending.traceback
    assert [cell.metadata.papermill.status for cell in notebook.cells] == [
        "completed",
        "failed",
        "pending",
    ]
    assert run("1", folder=tmp_path)


def test_a_loop_is_interrupted_at_the_limit_and_says_where(tmp_path):
    notebook = made(
        "x = 1", "import time\nprint('in')\nwhile True:\n    time.sleep(0.01)"
    )
    ending = warm(notebook, tmp_path, timeout_s=3).run()
    assert (ending.how, ending.cell_index) == ("timed out", 1)
    assert ending.traceback.endswith("KeyboardInterrupt: ")
    assert "time.sleep(0.01)" in ending.traceback
    assert text(notebook) == "in\n"


def test_what_does_not_listen_is_killed_with_what_it_started(tmp_path):
    notebook = made(
        "import signal, subprocess, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "open('pid', 'w').write(str(child.pid))\n"
        "while True:\n"
        "    try:\n        time.sleep(1)\n    except BaseException: pass"
    )
    assert warm(notebook, tmp_path, timeout_s=2).run().how == "timed out"
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not psutil.pid_exists(pid))


def test_stop_interrupts_a_run_from_another_thread(tmp_path):
    notebook = made(
        "open('started', 'w').close()\nawait __import__('asyncio').sleep(600)"
    )
    client = warm(notebook, tmp_path)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(client.run)
        wait_until((tmp_path / "started").exists)
        client.stop()
        assert future.result(30).how == "interrupted"


def test_output_comes_while_the_cell_runs(tmp_path):
    notebook = made(
        "import time\nfrom pathlib import Path\nprint('first')\nprint('second')\n"
        "while not Path('go').exists():\n    time.sleep(0.01)"
    )
    client = warm(notebook, tmp_path)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(client.run)
        wait_until(lambda: notebook.cells[0].outputs and "second" in text(notebook))
        (tmp_path / "go").touch()
        assert future.result(30).how == "finished"


def test_a_run_of_a_killed_caller_is_killed(tmp_path):
    (tmp_path / ".nbmlops").mkdir()
    nbformat.write(
        made(
            "import os, time\nopen('pid', 'w').write(str(os.getpid()))\ntime.sleep(600)"
        ),
        tmp_path / "long.ipynb",
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", "import nbmlops as nm; nm.run_notebook('long.ipynb')"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    pid = tmp_path / "pid"
    wait_until(lambda: pid.exists() and pid.read_text(), limit_s=120)
    assert psutil.pid_exists(int(pid.read_text()))
    caller.kill()
    caller.wait()
    wait_until(lambda: not psutil.pid_exists(int(pid.read_text())))


def parent_of(notebook_folder):
    return int(text(run("import os\nos.getppid()", folder=notebook_folder)))


def test_a_killed_parent_is_replaced_and_its_runs_have_died(tmp_path):
    before = parent_of(tmp_path)
    notebook = made("open('started', 'w').close()", "import time; time.sleep(600)")
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(warm(notebook, tmp_path).run)
        wait_until((tmp_path / "started").exists)
        os.kill(before, signal.SIGKILL)
        ending = future.result(30)
    assert ending.how == "died"
    assert parent_of(tmp_path) != before


def test_what_a_run_began_dies_with_it_when_its_parent_is_killed(tmp_path):
    notebook = made(
        "import subprocess, time\n"
        "print(subprocess.Popen(['sleep', '600']).pid, flush=True)\ntime.sleep(600)"
    )
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(warm(notebook, tmp_path).run)
        wait_until(lambda: notebook.cells[0].outputs)
        pid = int(text(notebook))
        parent = psutil.Process(pid).parent().ppid()
        psutil.Process(parent).kill()
        assert future.result(30).how == "died"
    wait_until(lambda: not psutil.pid_exists(pid))


def test_two_callers_at_once_get_one_parent(tmp_path):
    stop_servers()
    wait_until(lambda: not list_servers())
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(parent_of, [tmp_path] * 4))
    assert len(found) == 1
    assert [parent.pid for parent in list_servers()] == [*found]


def test_a_module_edited_on_disk_is_the_new_one(tmp_path, monkeypatch):
    library = tmp_path / "library"
    library.mkdir()
    module = library / "edited_library.py"
    module.write_text("VALUE = 1")
    monkeypatch.setenv("PYTHONPATH", str(library))
    source = "import edited_library, os\nedited_library.VALUE, os.getppid()"
    settings = Warm(preload=("edited_library",))
    first = text(run(source, folder=tmp_path, settings=settings))
    again = text(run(source, folder=tmp_path, settings=settings))
    module.write_text("VALUE = 22")
    edited = text(run(source, folder=tmp_path, settings=settings))
    assert first == again
    assert first.startswith("(1, ")
    assert edited.startswith("(22, ")
    assert edited.split(",")[1] != first.split(",")[1]


@pytest.mark.parametrize(
    "code",
    [
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
        "print('welcome')",
    ],
)
def test_a_module_that_starts_threads_or_speaks_is_left_to_the_runs(
    tmp_path, monkeypatch, code
):
    library = tmp_path / "library"
    library.mkdir()
    (library / "odd_library.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(library))
    settings = Warm(preload=("odd_library",))
    source = (
        "import sys, os, threading\nbefore = 'odd_library' in sys.modules\n"
        "import odd_library\n(before, threading.active_count())"
    )
    for _ in range(2):
        notebook = run(source, folder=tmp_path, settings=settings)
        assert "(False, " in text(notebook)
        assert ("welcome" in text(notebook)) == ("welcome" in code)


def test_a_file_that_hides_a_package_is_imported_as_in_a_kernel(tmp_path):
    run("import pandas", folder=tmp_path)
    (tmp_path / "pandas.py").write_text("mine = True")
    with pytest.raises(ForkUnavailable, match=r"pandas\.py in the notebook's folder"):
        warm(made("import pandas\npandas.mine"), tmp_path).run()


def test_a_variable_that_imports_asked_for_must_be_the_same(tmp_path, monkeypatch):
    library = tmp_path / "library"
    library.mkdir()
    (library / "asking_library.py").write_text("import os\nX = os.environ.get('ASKED')")
    monkeypatch.setenv("PYTHONPATH", str(library))
    settings = Warm(preload=("asking_library",))
    run("1", folder=tmp_path, settings=settings)
    with pytest.raises(ForkUnavailable, match="ASKED"):
        warm(made("1"), tmp_path, settings=settings, env={"ASKED": "now"}).run()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import sys\nsys.path.insert(0, '../src')", "imports from other folders"),
        ("import sys; sys.path[:0] = ['lib']", "imports from other folders"),
        ("import ipywidgets as w", "ipywidgets makes widgets"),
        ("from ipywidgets import interact", "ipywidgets makes widgets"),
        ("%gui qt", "needs an event loop"),
        ("%matplotlib widget", "needs an event loop"),
        ("%matplotlib inline", ""),
        ("import numpy  # ipywidgets", ""),
    ],
)
def test_what_needs_a_kernel_is_seen_beforehand(source, why):
    assert why in why_no_fork(made(source), "python3", KernelEnvironment())
    assert bool(why) == bool(why_no_fork(made(source), "python3", KernelEnvironment()))


def test_another_language_or_kernel_is_no_fork(tmp_path):
    notebook = made("1")
    notebook.metadata["language_info"] = {"name": "R"}
    assert why_no_fork(notebook, "python3", KernelEnvironment()) == "it is in R"
    place = KernelEnvironment(env={"A": "1"})
    assert why_no_fork(made("1"), "python3", place) == "it runs in another environment"


def test_a_widget_that_comes_unforeseen_keeps_its_state(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import ipywidgets\nslider = ipywidgets.IntSlider"
    )
    notebook = run("import mine\nmine.slider(7)", folder=tmp_path)
    (key,) = notebook.metadata.widgets
    values = [
        w["state"].get("value") for w in notebook.metadata.widgets[key].state.values()
    ]
    assert 7 in values
    assert "IntSlider(value=7)" in text(notebook)


def test_an_idle_parent_leaves_and_nothing_is_left_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONNODEBUGRANGES", "1")  # a parent of its own
    pid = int(
        text(
            run(
                "import os\nos.getppid()",
                folder=tmp_path,
                settings=Warm(idle_s=0.5),
            )
        )
    )
    wait_until(lambda: not psutil.pid_exists(pid))


def test_a_folder_that_others_can_write_to_is_refused(tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    (shared / "nbmlops").mkdir(parents=True)
    (shared / "nbmlops").chmod(0o777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(shared))
    with pytest.raises(ForkUnavailable, match="only you can write"):
        warm(made("1"), tmp_path).run()


def n_open_files():
    return len([*Path("/proc/self/fd").iterdir()])


def test_a_full_disk_is_a_reason_for_a_kernel_and_leaves_nothing(tmp_path, monkeypatch):
    run("1", folder=tmp_path)
    before = n_open_files()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(ForkUnavailable, match="No space left"):
        warm(made("1"), tmp_path).run()
    monkeypatch.undo()
    assert n_open_files() <= before


def test_many_runs_leave_no_file_and_no_process(tmp_path, own_parents):
    run("1", folder=tmp_path)
    wait_until(lambda: any(p.n_running == 0 for p in list_servers()))
    (parent,) = [p for p in list_servers() if p.n_running == 0][:1]
    before = n_open_files()
    threads = [
        threading.Thread(target=run, args=("1",), kwargs={"folder": tmp_path})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert n_open_files() == before
    wait_until(lambda: not psutil.Process(parent.pid).children())
    there = {file.name for file in own_parents.glob("nbmlops/warm/*/*")}
    assert there <= {"socket", "start.lock", "log", "unfit.json"}


def test_a_parent_has_one_thread_and_no_connection_to_the_network(tmp_path):
    run("import pandas, sklearn.ensemble, mlflow", folder=tmp_path)
    for parent in list_servers():
        process = psutil.Process(parent.pid)
        assert process.num_threads() == 1
        assert process.net_connections(kind="inet") == []


def test_the_parent_that_was_used_the_longest_ago_makes_room(
    tmp_path, tmp_path_factory, monkeypatch
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("few")))
    monkeypatch.setattr(fork_server, "make_room", partial(make_room, most=2))
    busy = made("open('started', 'w').close()", "import time; time.sleep(600)")
    of = {"env": {"OMP_A": "1"}}

    def parent_of(name):
        source = "import os\nos.getppid()"
        pid = int(text(run(source, folder=tmp_path, env={f"OMP_{name}": "1"})))
        wait_until(lambda: all(not p.n_running for p in list_servers() if p.pid == pid))
        return pid

    try:
        first, second = parent_of("A"), parent_of("B")
        time.sleep(0.05)  # so that the clock of files tells the two apart
        assert parent_of("A") == first
        third = parent_of("C")  # B's was used longer ago than A's
        wait_until(lambda: not psutil.pid_exists(second))
        assert sorted(p.pid for p in list_servers()) == sorted([first, third])
        with ThreadPoolExecutor(1) as pool:
            client = warm(busy, tmp_path, **of)
            future = pool.submit(client.run)
            try:
                wait_until((tmp_path / "started").exists)
                assert parent_of("C") == third
                parent_of("D")  # A's is older, but has a run
                wait_until(lambda: not psutil.pid_exists(third))
                assert psutil.pid_exists(first)
            finally:
                client.stop()
            assert future.result(30).how == "interrupted"
    finally:
        stop_servers()
        wait_until(lambda: not list_servers())


def memory(pid):
    """Return the bytes a process has of its own, whoever maps the same libraries."""
    reported = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * int(re.search(r"^Anonymous: +(\d+) kB", reported, re.MULTILINE)[1])


def test_two_hundred_runs_leave_the_memory_of_parent_and_caller_as_it_is(tmp_path):
    for _ in range(20):
        parent = parent_of(tmp_path)
    wait_until(lambda: not psutil.Process(parent).children())
    gc.collect()
    before = memory(parent), memory(os.getpid())
    for _ in range(200):
        warm(made("1"), tmp_path).run()
    wait_until(lambda: not psutil.Process(parent).children())
    gc.collect()
    after = memory(parent), memory(os.getpid())
    assert [p.pid for p in list_servers() if p.pid == parent] == [parent]
    grown = [(b - a) / 200 for a, b in zip(before, after, strict=True)]
    assert max(grown) < 20_000, grown  # bytes a run


def test_the_key_of_a_parent_is_of_what_changes_imports():
    base = {"PATH": "/bin", "HOME": "/root"}
    key = fork_server._key(base)
    assert (
        fork_server._key({**base, "NBMLOPS_X": "1", "MLFLOW_RUN_CONTEXT": "{}"}) == key
    )
    assert fork_server._key(base, "a.worker") != key
    for name in ("PYTHONPATH", "OMP_NUM_THREADS", "MKL_X", "LD_PRELOAD", "CUDA_X"):
        assert fork_server._key({**base, name: "1"}) != key


def test_the_key_of_a_parent_tells_what_each_project_leaves_out(tmp_path, monkeypatch):
    base = {"PYTHONPATH": str(tmp_path / "inside" / "src")}
    keys = []
    for name in ("inside", "other"):
        (tmp_path / name / "src").mkdir(parents=True)
        (tmp_path / name / "pyproject.toml").write_text("[tool.nbmlops]\n")
        monkeypatch.chdir(tmp_path / name)
        keys.append(fork_server._key(base))
    assert keys[0] != keys[1]


def test_what_dies_when_it_is_ready_is_no_fork(project):
    wanted = {"folder": ".", "modules": [], "chosen": False, "blas": 1, "openmp": None}
    forked, ready = start_fork(os.environ, wanted, module="colorsys", check=bool)
    try:
        assert ready["type"] == "ready"
        while not any(each["type"] == "ended" for each in forked.read(0.2)):
            pass
        with pytest.raises(ForkUnavailable, match="died at its start"):
            ForkedProcess(forked)
    finally:
        forked.close()
        forked.log.close()
