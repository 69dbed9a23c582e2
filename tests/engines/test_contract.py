"""What every engine and its workers do, whoever they are for."""

import importlib
import os
import resource
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import nbmlops as nm
from nbmlops.config import Dask, load_settings
from nbmlops.engines import ENGINES, get_engine
from nbmlops.engines.preflight import find_fault, look
from nbmlops.forkserver import fork_server
from nbmlops.forkserver.runtime_dir import ForkUnavailable, home_of
from nbmlops.forkserver.waiting import readable
from tests.engines.clusters import dask_cluster, kill_busy_worker
from tests.pipeline.pipelines import ROOT, wait_until

MODULE = "tests.engines.chores"
HOST = Path(fork_server.__file__).parent / "host"


@pytest.fixture(scope="module")
def cluster():
    with dask_cluster() as cluster:
        yield cluster


@pytest.fixture(params=[*ENGINES, "local without forks"])
def engine(request, project, monkeypatch):
    settings = load_settings(project)
    name, _, is_cold = request.param.partition(" ")
    if is_cold:
        monkeypatch.setattr("nbmlops.engines.local.fork", refuse)
    if name == "dask":
        address = request.getfixturevalue("cluster").scheduler_address
        monkeypatch.setenv("NBMLOPS_DASK_ADDRESS", address)
        settings = load_settings(project)
        assert settings.dask == Dask(address=address)
    with closing(get_engine(name, settings)) as engine:
        yield engine


def refuse(*_):
    raise ForkUnavailable("it is to be started")


@pytest.fixture
def start(engine):
    workers = []

    def start(**env):
        env = {"PYTHONPATH": str(ROOT), **env}
        workers.append(engine.start(MODULE, env))
        return workers[-1]

    yield start
    for worker in workers:
        if worker.task is not None:
            worker.stop()
            worker.close()


def answer(worker, limit_s=120):
    deadline = time.monotonic() + limit_s
    while not readable([worker], 0.2):
        worker.look_at_clock()
        assert time.monotonic() < deadline
    return worker.answer()


@pytest.fixture
def many_files():
    """Hold more files open than `select.select` can tell apart."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    with ExitStack() as held:
        for _ in range(1100):
            held.enter_context(open(os.devnull))  # noqa: PTH123
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_process_with_many_open_files_has_workers(start, many_files):
    worker = start()
    worker.give(("add", 1, 2))
    assert answer(worker) == 3
    worker.close()


def began(path):
    wait_until(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def is_gone(pid):
    return not psutil.pid_exists(pid)


def test_one_task_after_the_other_is_answered(engine, start, project):
    engine.expect(MODULE, {"PYTHONPATH": str(ROOT), "CHORE": "dishes"})
    worker = start(CHORE="dishes")
    worker.give(("add", 1, 2))
    assert worker.task == ("add", 1, 2)
    assert answer(worker) == 3
    assert worker.task is None
    worker.give(("where",))
    pid, folder, chore = answer(worker)
    assert pid != os.getpid()
    assert (folder, chore) == (str(project), "dishes")
    assert worker.close().startswith("exit code 0")
    assert engine.n_jobs >= 1
    assert engine.n_beside >= 1


def test_a_worker_of_this_machine_is_forked(project, tmp_path):
    with closing(get_engine("local", load_settings(project))) as engine:
        worker = engine.start(MODULE, {"PYTHONPATH": str(ROOT), "CHORE": "dishes"})
        worker.give(("where",))
        pid, folder, chore = answer(worker)
        assert (folder, chore) == (str(project), "dishes")
        parent = psutil.Process(pid).parent()
        assert parent.cmdline()[1] == str(HOST)
        worker.give(("add", "x" * 3_000_000, "y"))  # more than a pipe holds
        assert answer(worker) == "x" * 3_000_000 + "y"
        worker.give(("sleep", str(tmp_path / "began")))
        began(tmp_path / "began")
        parent.kill()
        assert answer(worker) is None
        assert worker.close().startswith("signal 9")
        wait_until(
            lambda: is_gone(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        )
        again = engine.start(MODULE, {"PYTHONPATH": str(ROOT)})
        again.give(("add", 1, 2))
        assert answer(again) == 3


def test_a_worker_has_its_own_environment_and_leaves_it_in_no_file(project):
    above = []
    with closing(get_engine("local", load_settings(project))) as engine:
        for flavour in ("plain-canary", "plain-canary", "salted-canary"):
            own = {"MKL_OF_THIS_TEST": "1"}  # a parent of its own
            env = {"PYTHONPATH": str(ROOT), "FLAVOUR": flavour, "TOKEN": flavour}
            worker = engine.start(MODULE, env | own)
            worker.give(("flavour",))
            pid, found = answer(worker)
            assert found == flavour
            above.append((pid, psutil.Process(pid).cmdline()[1:2]))
            for path in home_of(os.environ).rglob("*"):
                assert not path.is_file() or b"canary" not in path.read_bytes()
            assert worker.close().startswith("exit code 0")
    assert [found for _, found in above[:2]] == [[str(HOST)]] * 2
    # A parent was asked to import with another flavour, so this one was started.
    assert above[2][0] == os.getpid()


def test_two_workers_work_at_once(start, tmp_path):
    slow, quick = start(), start()
    slow.give(("sleep", str(tmp_path / "began")))
    began(tmp_path / "began")
    quick.give(("add", "a", "b"))
    assert answer(quick) == "ab"
    assert not readable([slow], 0)
    assert quick.close().startswith("exit code 0")


def test_the_death_of_a_process_is_the_end_of_its_worker(start):
    worker = start()
    worker.give(("die", 9))
    assert answer(worker) is None
    assert not worker.was_late
    assert worker.close() == "signal 9: last words"


def test_a_stopped_worker_ends_what_it_does_and_leaves(start, tmp_path):
    worker = start()
    worker.give(("sleep", str(tmp_path / "began")))
    pid = began(tmp_path / "began")
    worker.stop()
    assert answer(worker) is None
    assert worker.close().startswith("exit code 3")
    assert is_gone(pid)


def test_what_takes_too_long_is_stopped(start, tmp_path):
    worker = start()
    worker.give(("sleep", str(tmp_path / "began")), limit_s=3)
    began(tmp_path / "began")
    assert answer(worker) is None
    assert worker.was_late
    assert worker.close().startswith("exit code 3")


def dask(address, project, **options):
    settings = replace(load_settings(project), dask=Dask(address=address, **options))
    return closing(get_engine("dask", settings))


def test_what_a_dask_worker_had_begun_ends_with_it_and_is_not_begun_again(
    cluster, project, tmp_path
):
    with dask(cluster.scheduler_address, project) as engine:
        worker = engine.start(MODULE, {"PYTHONPATH": str(ROOT)})
        worker.give(("sleep", str(tmp_path / "began")))
        pid = began(tmp_path / "began")
        kill_busy_worker(cluster)
        assert answer(worker) is None
        assert worker.close() == "the Dask worker that had begun it is gone"
        wait_until(lambda: is_gone(pid))
        assert began(tmp_path / "began") == pid


def test_what_waits_for_a_dask_worker_can_be_stopped(project, cluster, tmp_path):
    with dask(cluster.scheduler_address, project) as engine:
        workers = [engine.start(MODULE, {"PYTHONPATH": str(ROOT)}) for _ in range(3)]
        for n, worker in enumerate(workers):
            worker.give(("sleep", str(tmp_path / f"began {n}")))
        wait_until(lambda: len(list(tmp_path.glob("began *"))) == 2)
        for worker in workers:
            worker.stop()
        words = sorted(worker.close() for worker in workers)
        assert [each[:11] for each in words] == ["exit code 3"] * 2 + ["it was stop"]


def test_a_cluster_is_made_by_the_class_that_the_project_names(project):
    with dask(None, project, cluster="tests.engines.clusters.Small", workers=1) as made:
        assert made.n_jobs == 1
        worker = made.start(MODULE, {})
        worker.give(("add", 1, 1))
        assert answer(worker) == 2
    with (
        dask(None, project, cluster="tests.engines.nowhere.Slurm") as made,
        pytest.raises(nm.UsageError, match="cannot be imported"),
    ):
        made.start(MODULE, {})


def test_a_cluster_that_cannot_run_steps_is_refused(
    cluster, project, monkeypatch, tmp_path
):
    monkeypatch.setattr("nbmlops.engines.dask._CONNECT_S", 0.5)
    with pytest.raises(nm.UsageError, match="No Dask cluster is named"):
        get_engine("dask", load_settings(project))
    with pytest.raises(nm.UsageError, match="Did you mean 'dask'"):
        get_engine("dusk", load_settings(project))
    with (
        dask("tcp://127.0.0.1:1", project) as engine,
        pytest.raises(nm.EngineError, match="No Dask scheduler answers"),
    ):
        engine.start(MODULE, {})
    monkeypatch.setattr("nbmlops.engines.preflight._version", lambda _name: "9.9")
    with (
        dask(cluster.scheduler_address, project) as engine,
        pytest.raises(nm.UsageError, match=r"It has nbmlops .*, and this process 9\.9"),
    ):
        engine.start(MODULE, {})
    monkeypatch.undo()
    (tmp_path / "only_here.py").write_text("def look(mark):\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(
        "nbmlops.engines.dask.look", importlib.import_module("only_here").look
    )
    with (
        dask(cluster.scheduler_address, project) as engine,
        pytest.raises(nm.UsageError, match="No module named 'only_here'"),
    ):
        engine.start(MODULE, {})
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(nm.DependencyError) as caught:
        get_engine("dask", load_settings(project))
    assert "nbmlops[dask]" in caught.value.fix


def test_a_dask_worker_that_came_later_is_asked_before_it_begins(cluster, project):
    with dask(cluster.scheduler_address, project) as engine:
        worker = engine.start(MODULE, {"PYTHONPATH": str(ROOT)})
        (mark,) = (project / ".nbmlops" / "pipelines" / "marks").iterdir()
        mark.write_text("of another run")
        worker.give(("add", 1, 1))
        assert answer(worker) is None
        assert "was refused: It does not see the project" in worker.close()
    assert not mark.exists()


def test_another_folder_and_another_machine_are_faults(tmp_path):
    mark = tmp_path / "mark"
    mark.write_text("mine")
    mine = look(str(mark))
    assert find_fault(mine, mine, is_store_here=True) is None
    unseen = look(str(tmp_path / "gone"))
    assert "does not see" in find_fault(mine, unseen, is_store_here=False)[0]
    stale = {**mine, "mark": "older"}
    assert "does not see" in find_fault(mine, stale, is_store_here=False)[0]
    far = {**mine, "host": "elsewhere"}
    assert find_fault(mine, far, is_store_here=False) is None
    assert "MLFLOW_TRACKING_URI" in find_fault(mine, far, is_store_here=True)[1]
