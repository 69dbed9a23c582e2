"""Small notebooks made for what a fork may get wrong: as in a kernel, cell by cell."""

import pytest

from tests.forkserver.runs import assert_same, own_parents, pytestmark, run, text
from tests.tiers import some

__all__ = ["own_parents", "pytestmark"]

TRAPS = {
    "handlers of logs": (
        "import logging, sys\nlogging.basicConfig(level='INFO', stream=sys.stdout)\n"
        "logging.info('reported')",
        "root = logging.getLogger()\n"
        "root.level, [type(h).__name__ for h in root.handlers]",
        "logging.getLogger('pandas').handlers, logging.getLogger('mlflow').level\n"
        "sorted(n for n, l in logging.root.manager.loggerDict.items()"
        " if getattr(l, 'handlers', None))",
        "logging.lastResort, logging.raiseExceptions, logging.getLogger().disabled",
        "logging.captureWarnings(True)\nimport warnings; warnings.warn('as a log')",
    ),
    "filters of warnings": (
        "import warnings\n[(f[0], str(f[1]), f[2].__name__, str(f[3]), f[4])"
        " for f in warnings.filters]",
        "for _ in range(3):\n    warnings.warn('once a line')",
        "warnings.simplefilter('error')\nwarnings.warn('an error now')",
    ),
    "filters of warnings after imports": (
        "import pandas, sklearn, matplotlib, warnings",
        "sorted({(f[0], f[2].__name__) for f in warnings.filters})",
        "import numpy as np\nnp.array([1.0]) / 0, np.float64(1) / 0",
    ),
    "context variables": (
        "import contextvars, decimal\nvar = contextvars.ContextVar('v', default=0)\n"
        "token = var.set(1)",
        "var.get()",
        "sorted(v.name for v in contextvars.copy_context()"
        " if v.name not in ('parent', 'parent_header', 'decimal_context'))",
        "decimal.getcontext().prec = 5\ndecimal.Decimal(1) / 3",
        "decimal.Decimal(2) / 3",
        "async def f():\n    var.set(9)\n    return var.get()\nawait f()",
        "var.get()",
    ),
    "a task that goes on": (
        "import asyncio\nheard = []\nasync def tell():\n"
        "    for n in range(3):\n        heard.append(n)\n"
        "        await asyncio.sleep(0.01)\n"
        "task = asyncio.create_task(tell())",
        "heard[:1]",
        "await task\nheard, task.done()",
        "loop = asyncio.get_event_loop()\nloop.is_running(), type(loop).__name__",
        "loop = asyncio.get_running_loop()\n"
        "await loop.run_in_executor(None, lambda: 5)",
        "async def fail():\n    raise ValueError('lost')\n"
        "lost = asyncio.create_task(fail())",
        "await asyncio.sleep(0.05)\ntype(lost.exception()).__name__",
    ),
    "threads left running": (
        "from concurrent.futures import ThreadPoolExecutor\nimport threading, time\n"
        "pool = ThreadPoolExecutor(2)\n"
        "futures = [pool.submit(pow, 2, n) for n in (1, 2)]",
        "[f.result() for f in futures]",
        "t = threading.Thread(target=time.sleep, args=(60,), daemon=True); t.start()",
        "t.is_alive(), t.daemon, threading.main_thread() is threading.current_thread()",
        "threading.Timer(0.01, print, ['late']).start(); time.sleep(0.2)",
    ),
    "an error in a thread": (
        "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='mine')",
        "t.start(); t.join()\n'goes on'",
    ),
    "servers of processes": (
        "import multiprocessing, os",
        "multiprocessing.get_start_method(), multiprocessing.current_process().name",
        "with multiprocessing.get_context('forkserver').Pool(1) as pool:\n"
        "    found = pool.map(abs, [-3])\nfound",
        "queue = multiprocessing.get_context('fork').Queue()\n"
        "def put():\n    queue.put(os.getpid() != here)\nhere = os.getpid()\n"
        "p = multiprocessing.get_context('fork').Process(target=put)\n"
        "p.start(); got = queue.get(timeout=60); p.join()\ngot, p.exitcode",
        "with multiprocessing.Manager() as manager:\n"
        "    shared = manager.dict(a=1); shared['b'] = 2; found = dict(shared)\nfound",
        "from concurrent.futures import ProcessPoolExecutor\n"
        "with ProcessPoolExecutor(1) as pool:\n"
        "    found = pool.submit(abs, -7).result()\nfound",
        "from multiprocessing import shared_memory\n"
        "m = shared_memory.SharedMemory(create=True, size=8); m.buf[0] = 7\n"
        "n = shared_memory.SharedMemory(m.name); found = n.buf[0]\n"
        "n.close(); m.close(); m.unlink()\nfound",
    ),
    "functions of the notebook in workers": (
        "import warnings; warnings.simplefilter('ignore')  # of workers that are late\n"
        "from joblib import Parallel, delayed\ndef square(x):\n    return x * x",
        "Parallel(n_jobs=2)(delayed(square)(n) for n in range(4))",
        "Parallel(n_jobs=2, prefer='threads')(delayed(square)(n) for n in range(4))",
        "def fail(x):\n    raise KeyError(x)\n"
        "try:\n    Parallel(n_jobs=2)(delayed(fail)(n) for n in range(1))\n"
        "except KeyError as error:\n    print(error)",
    ),
    "random numbers of a seed": (
        "import random, numpy as np\nrandom.seed(3); random.random()",
        "np.random.seed(3); np.random.rand(2)",
        "np.random.default_rng(3).normal(size=2)",
        "from sklearn.utils import check_random_state\n"
        "np.random.seed(0); check_random_state(None).randint(1000)",
        "random.Random(5).sample(range(100), 3), random.SystemRandom().random() < 1",
        "{*'abcdef'} == {*'fedcba'}, hash(1), hash((1, 2))",
    ),
    "how plots look": (
        "import matplotlib as mpl, matplotlib.pyplot as plt\n"
        "mpl.rcParams['figure.dpi'], mpl.rcParams['figure.figsize']",
        "plt.rcParams['figure.figsize'] = (2, 1); plt.plot([1, 3, 2])",
        "fig, ax = plt.subplots(); ax.set_title('t')\nfig",
        "%config InlineBackend.figure_formats = ['svg']\nplt.get_fignums()",
        "plt.style.use('ggplot'); plt.rcParams['axes.facecolor']",
        "import matplotlib_inline\nplt.isinteractive(), plt.get_backend()",
        "changed = {k: v for k, v in mpl.rcParams.items()"
        " if k not in mpl.rcParamsOrig or mpl.rcParamsOrig[k] != v}\nsorted(changed)",
    ),
    "how frames look": (
        "import pandas as pd, numpy as np\npd.options.display.max_rows = 6",
        "pd.DataFrame({'x': np.arange(100), 'y': 'a' * 80})",
        "pd.set_option('display.precision', 2); pd.Series([np.pi, np.e])",
        "pd.DataFrame({'x': [1.5]}).style.format('{:.3f}').to_html(uuid='u')",
        "pd.get_option('display.width'), pd.get_option('display.max_colwidth')",
        "pd.DataFrame({'x': [1]}).plot(figsize=(1, 1))\nNone",
        "import sys; np.set_printoptions(threshold=5); np.arange(10)",
    ),
    "who the program is": (
        "import sys, __main__\n__name__, __main__.__dict__ is globals(), '__file__' in"
        " globals()",
        "sys.argv[1:2], sys.argv[0].rsplit('/', 1)[-1], sys.orig_argv[:0]",
        "__file__",
    ),
    "where it is": (
        "import os, pathlib\nos.mkdir('deeper')\nos.chdir('deeper')",
        "pathlib.Path().resolve().name, os.getcwd() == os.path.abspath('.')",
        "%pwd\n%cd ..",
        "%dhist",
        "os.environ['MADE'] = 'here'\n!echo $MADE",
        "%env MADE",
        "os.getenv('MADE'), os.environb[b'MADE'], os.path.expandvars('$MADE')",
        "import subprocess\nsubprocess.run('echo $MADE', shell=True,"
        " capture_output=True, text=True).stdout",
        "del os.environ['MADE']; os.getenv('MADE')",
    ),
    "signals": (
        "import signal, os, time\n"
        "{n.name: str(signal.getsignal(n)) for n in signal.Signals"
        " if signal.getsignal(n) != signal.SIG_DFL}",
        "signal.signal(signal.SIGUSR1, lambda *_: print('heard'))\n"
        "os.kill(os.getpid(), signal.SIGUSR1)",
        "signal.signal(signal.SIGALRM, lambda *_: print('rang'))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(0.1)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [])",
        "signal.set_wakeup_fd(-1) >= -1, signal.getitimer(signal.ITIMER_REAL)",
    ),
    "an interrupt from within": (
        "import signal, os\nos.kill(os.getpid(), signal.SIGINT)",
        "1",
    ),
    "what is done at the end": (
        "import atexit, pathlib\n"
        "atexit.register(pathlib.Path('first').write_text, 'x')\n"
        "atexit.register(print, 'nobody hears this')",
        "import weakref\nclass Thing: pass\nthing = Thing()\n"
        "weakref.finalize(thing, pathlib.Path('second').write_text, 'y').atexit",
        "import tempfile\nkept = tempfile.TemporaryDirectory(prefix='left-', dir='.')",
    ),
    "what was computed before": (
        "40 + 2",
        "_, _1, Out[1]",
        "'a'; 'b'",
        "__, _i, _ii, _i1",
        "In[1:3]",
        "del Out[1]\n_1",
        "_oh",
        "%recall 1",
        "%rerun 1",
        "get_ipython().execution_count",
    ),
    "what is kept of a session": (
        "get_ipython().history_manager.session_number > 0",
        "len([*get_ipython().history_manager.get_range()])",
        "%history -n 1-2",
        "get_ipython().history_manager.enabled",
    ),
    "other files run": (
        "import pathlib\npathlib.Path('script.py').write_text("
        "'import sys\\nprint(__name__, sys.argv[1:2])\\nmade = 7\\n')\n"
        "pathlib.Path('broken.py').write_text('def f():\\n    return 1 / 0\\nf()\\n')\n"
        "None",
        "%run script.py one two",
        "made",
        "%run -i script",
        "%load script.py",
        "import runpy\nrunpy.run_path('script.py')['made']",
        "%run broken.py",
    ),
    "a module that is edited while it runs": (
        "%load_ext autoreload\n%autoreload 2\nimport pathlib, os\n"
        "path = pathlib.Path('edited_beside.py'); path.write_text('VALUE = 1')\n"
        "os.utime(path, (1e9, 1e9))",
        "import edited_beside\nedited_beside.VALUE",
        "path.write_text('VALUE = 22'); os.utime(path, (2e9, 2e9))",
        "edited_beside.VALUE",
        "import importlib; importlib.reload(edited_beside).VALUE",
    ),
    "a database in memory and a lock": (
        "import sqlite3, fcntl\ndb = sqlite3.connect(':memory:')\n"
        "db.execute('create table t (x)'); db.execute('insert into t values (1)')\n"
        "db.execute('select * from t').fetchall()",
        "held = open('lock', 'w'); fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "import pandas as pd\npd.read_sql('select x from t', db)",
        "sqlite3.threadsafety, sqlite3.sqlite_version_info > (3, 30)",
    ),
    "displays that change": (
        "from IPython.display import display, clear_output, update_display, Markdown\n"
        "handle = display(Markdown('a'), display_id='one'); display('b')",
        "update_display(Markdown('changed'), display_id='one')",
        "for n in range(3):\n    clear_output(wait=True)\n    print(n)",
        "display('x', display_id='two'); clear_output(); print('left')",
        "update_display('to nowhere', display_id='two')",
        "handle.display('again')\nhandle.update(Markdown('twice'))",
        "display({'text/plain': 'raw', 'application/x-mine': {'k': [1]}}, raw=True)",
        "display()",
    ),
    "what objects show": (
        "class Rich:\n    def _repr_html_(self):\n        return '<i>rich</i>'\n"
        "    def _repr_mimebundle_(self, include=None, exclude=None):\n"
        "        return {'text/x-mine': 'm'}, {'text/x-mine': {'k': 1}}\nRich()",
        "class Bad:\n    def __repr__(self):\n"
        "        raise ValueError('unshown')\nBad()",
        "class Silent:\n    def _ipython_display_(self):\n"
        "        print('shown')\nSilent()",
        "get_ipython().display_formatter.formatters['text/html'].for_type("
        "complex, lambda z: f'<b>{z}</b>')\n1j",
        "%precision 2\n3.14159",
        "{'a': [1] * 40, 'b': {'c': 'd' * 60}}",
        "print?",
        "%pinfo2 Rich",
        "%config TerminalInteractiveShell.colors",
    ),
    "how errors look": (
        "def outer(x):\n    inner = lambda y: y / 0\n    return inner(x)",
        "try:\n    outer(1)\nexcept ZeroDivisionError as error:\n"
        "    raise RuntimeError('while dividing') from error",
    ),
    "how errors look otherwise": (
        "%xmode Plain",
        "raise ExceptionGroup('several', [ValueError(1), TypeError('two')])",
    ),
    "an error of its own kind": (
        "class Mine(Exception):\n    def _render_traceback_(self):\n"
        "        return ['only this']\nraise Mine('x')",
    ),
    "a very deep error": (
        "def f(n):\n    return f(n + 1)\n"
        "try:\n    f(0)\nexcept RecursionError as error:\n    print(error)",
    ),
    "an assertion and its parts": ("x = [1, 2]\nassert x == [1, 3], f'{x=}'",),
    "a syntax error in the midst": (
        "def f(:\n    pass",
        "never",
    ),
    "quit": ("print('before')\nquit()", "1"),
    "faults": (
        "import faulthandler, sys\nwith open('stacks', 'w') as f:\n"
        "    faulthandler.dump_traceback(f, all_threads=False)\n"
        "len(open('stacks').readlines()) > 3",
        "sys.excepthook.__name__, sys.unraisablehook.__name__,"
        " sys.displayhook.__class__.__name__",
        "class Bad:\n    def __del__(self):\n        raise ValueError('at the end')\n"
        "bad = Bad(); del bad",
    ),
    "the place and the limits of a process": (
        "import locale\nlocale.getlocale(), locale.getpreferredencoding()",
        "locale.localeconv()['decimal_point'], f'{1234.5:n}'",
        "import resource\n{n: resource.getrlimit(getattr(resource, n))"
        " for n in dir(resource) if n.startswith('RLIMIT_')}",
        "import os, sys\nos.sched_getaffinity(0), os.nice(0), os.cpu_count()",
        "sys.getrecursionlimit(), sys.getswitchinterval(), sys.stdin.closed",
        "import gc\ngc.isenabled(), gc.get_threshold(), gc.get_debug()",
        "sys.stdout.encoding, sys.stderr.encoding, sys.getfilesystemencoding(),"
        " sys.stdout.isatty(), sys.stdout.closed",
        "import time\ntime.tzname, time.localtime(0).tm_hour",
        "os.isatty(0), sys.stdin.read()",
    ),
    "cells of other kinds": (
        "%%timeit -n 1 -r 1 -q\nNone",
        "%%writefile made.txt\ntext of a file",
        "open('made.txt').read()",
        "%%sh\ncat made.txt; exit 0",
        "%%html\n<b>shown</b>",
        "%%capture got\nprint('caught')\n1",
        "got.stdout",
        "%%script cat\npassed through",
        "%%python\nprint('elsewhere')",
        "%lsmagic\nNone",
        "%whos int",
        "%%bash --no-raise-error\nexit 3",
        "%%bash\nexit 3",
    ),
    "names that are deleted": (
        "a = 1; b = [a]",
        "%reset_selective -f a",
        "'a' in globals(), b",
        "%reset -f",
        "'b' in globals()",
        "%who",
    ),
    "hooks of cells": (
        "def before(*_):\n    print('before')\n"
        "get_ipython().events.register('pre_run_cell', before)",
        "1",
        "get_ipython().events.unregister('pre_run_cell', before)\n"
        "get_ipython().input_transformers_cleanup.append("
        "lambda lines: [l.replace('TWO', '2') for l in lines])",
        "TWO + 2",
        "from IPython.core.magic import register_line_magic\n"
        "@register_line_magic\ndef mine(line):\n    return line.upper()",
        "%mine abc",
        "import ast\nclass Double(ast.NodeTransformer):\n"
        "    def visit_Constant(self, node):\n"
        "        return ast.copy_location(ast.Constant(node.value * 2), node)\n"
        "get_ipython().ast_transformers.append(Double())",
        "21",
    ),
    "types, pickles and copies": (
        "import pickle, dataclasses, enum, typing\n"
        "@dataclasses.dataclass\nclass Point:\n    x: int\n"
        "pickle.loads(pickle.dumps(Point(1)))",
        "Point.__module__, Point.__qualname__",
        "import inspect\ninspect.getsource(Point)",
        "class Colour(enum.Enum):\n    RED = 1\npickle.loads(pickle.dumps(Colour.RED))",
        "typing.get_type_hints(Point)",
        "import copy; copy.deepcopy(Point(2)) == Point(2)",
    ),
    "streams that are replaced": (
        "import sys, io, contextlib\nkept = io.StringIO()\n"
        "with contextlib.redirect_stdout(kept):\n    print('aside')\nkept.getvalue()",
        "old, sys.stdout = sys.stdout, io.StringIO()\nprint('lost')\n"
        "found = sys.stdout.getvalue(); sys.stdout = old\nfound",
        "sys.stdout.write('written'), sys.stdout.flush()",
        "sys.__stdout__ is None, sys.stdout.writable(), sys.stdout.readable()",
        "print('a', end=''); print('b', end='', file=sys.stderr); print('c')",
        "sys.stdout.writelines(['x', 'y']); print('\\r50%\\r100%')",
        "sys.stdout.buffer",
    ),
}


def test_what_a_task_says_later_is_not_lost(tmp_path):
    """A kernel's is, when another cell runs meanwhile: clients pass over it."""
    notebook = run(
        "import asyncio\nasync def tell():\n    await asyncio.sleep(0.01)\n"
        "    print('reported')\ntask = asyncio.create_task(tell())",
        "await task",
        folder=tmp_path,
    )
    assert text(notebook) == "reported\n"


@pytest.mark.parametrize("name", some(TRAPS, every=4))
def test_a_fork_falls_into_no_trap(tmp_path, name):
    assert_same(TRAPS[name], tmp_path)


@pytest.mark.parametrize("given", ["lib:{project}/lib:", "{project}/lib", ".:/"])
def test_the_path_of_imports_is_a_kernels(project, monkeypatch, given):
    (project / "lib").mkdir()
    (project / "lib" / "mine.py").write_text("value = 3", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", given.format(project=project))
    cells = (
        "import os, sys\nsys.path, os.environ['PYTHONPATH']",
        "import mine\nmine.value" if "lib" in given else "1",
        "import subprocess\nsubprocess.run([sys.executable, '-c', 'import sys;"
        " print(sys.path)'], capture_output=True, text=True).stdout",
    )
    assert_same(cells, project)
