"""What every engine and its workers do, whoever they are for."""

import importlib
import os
import resource
import sys
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import nbmlops as nm
from nbmlops.config import Dask, load_settings
from nbmlops.engines import ENGINES, WorkerExited, get_engine
from nbmlops.engines.local import Process
from nbmlops.engines.preflight import find_problem, read_machine
from nbmlops.forkserver import fork_server
from nbmlops.forkserver.runtime_dir import ForkUnavailable, home_of
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


def submit(engine, *task, limit_s=None, **env):
    env = {"PYTHONPATH": str(ROOT), **env}
    return engine.submit(MODULE, env, task, limit_s=limit_s)


def answer(future):
    return future.result(timeout=120)


def how_it_ended(future):
    with pytest.raises(WorkerExited) as caught:
        answer(future)
    return caught.value


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


def test_a_process_with_many_open_files_has_workers(engine, many_files):
    assert answer(submit(engine, "add", 1, 2)) == 3


def began(path):
    wait_until(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def is_gone(pid):
    return not psutil.pid_exists(pid)


def test_one_task_after_the_other_is_answered(engine, project):
    engine.prestart(MODULE, {"PYTHONPATH": str(ROOT), "CHORE": "dishes"})
    assert answer(submit(engine, "add", 1, 2, CHORE="dishes")) == 3
    pid, folder, chore = answer(submit(engine, "where", CHORE="dishes"))
    assert pid != os.getpid()
    assert (folder, chore) == (str(project), "dishes")
    assert engine.n_jobs >= 1
    assert engine.jobs_per_machine >= 1
    engine.close()
    wait_until(lambda: is_gone(pid))


def test_a_report_that_came_with_another_is_not_waited_for(project, tmp_path):
    process = Process(MODULE, {"PYTHONPATH": str(ROOT)})
    begun, end = tmp_path / "begun", tmp_path / "end"
    process.submit(("report", str(begun), str(end)))
    wait_until(begun.exists)
    assert process.wait(60)
    assert process.answer() == "first"
    assert process.wait(5)
    assert process.answer() == "second"
    end.touch()
    assert process.wait(60)
    assert process.answer() is None
    process.close()


def test_a_worker_of_this_machine_is_forked_and_used_again(project, tmp_path):
    with closing(get_engine("local", load_settings(project))) as engine:
        pid, folder, chore = answer(submit(engine, "where", CHORE="dishes"))
        assert (folder, chore) == (str(project), "dishes")
        parent = psutil.Process(pid).parent()
        assert parent.cmdline()[1] == str(HOST)
        big = "x" * 3_000_000  # more than a pipe holds
        assert answer(submit(engine, "add", big, "y")) == big + "y"
        assert answer(submit(engine, "where"))[0] == pid
        sleeping = submit(engine, "sleep", str(tmp_path / "began"))
        began(tmp_path / "began")
        parent.kill()
        assert str(how_it_ended(sleeping)).startswith("signal 9")
        wait_until(
            lambda: is_gone(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        )
        assert answer(submit(engine, "add", 1, 2)) == 3


def test_a_worker_has_its_own_environment_and_leaves_it_in_no_file(project):
    above = []
    for flavour in ("plain-canary", "plain-canary", "salted-canary"):
        with closing(get_engine("local", load_settings(project))) as engine:
            own = {"MKL_OF_THIS_TEST": "1"}  # a parent of its own
            env = {"FLAVOUR": flavour, "TOKEN": flavour, **own}
            pid, found = answer(submit(engine, "flavour", **env))
            assert found == flavour
            above.append((pid, psutil.Process(pid).cmdline()[1:2]))
            for path in home_of(os.environ).rglob("*"):
                assert not path.is_file() or b"canary" not in path.read_bytes()
    assert [found for _, found in above[:2]] == [[str(HOST)]] * 2
    # A parent had read another flavour at its imports, so this one was started.
    assert above[2][0] == os.getpid()


def test_two_workers_work_at_once(engine, tmp_path):
    slow = submit(engine, "sleep", str(tmp_path / "began"))
    began(tmp_path / "began")
    assert answer(submit(engine, "add", "a", "b")) == "ab"
    assert not slow.done()


def test_the_death_of_a_process_is_the_end_of_its_worker(engine):
    exited = how_it_ended(submit(engine, "die", 9))
    assert not exited.was_late
    assert str(exited) == "signal 9: last words"
    assert answer(submit(engine, "add", 1, 2)) == 3


def test_a_stopped_worker_ends_what_it_does_and_leaves(engine, tmp_path):
    sleeping = submit(engine, "sleep", str(tmp_path / "began"))
    pid = began(tmp_path / "began")
    engine.stop()
    assert str(how_it_ended(sleeping)).startswith("exit code 3")
    assert is_gone(pid)


def test_what_takes_too_long_is_stopped(engine, tmp_path):
    sleeping = submit(engine, "sleep", str(tmp_path / "began"), limit_s=3)
    began(tmp_path / "began")
    exited = how_it_ended(sleeping)
    assert exited.was_late
    assert str(exited).startswith("exit code 3")


def dask(address, project, **options):
    settings = replace(load_settings(project), dask=Dask(address=address, **options))
    return closing(get_engine("dask", settings))


def test_what_a_dask_worker_had_begun_ends_with_it_and_is_not_begun_again(
    cluster, project, tmp_path
):
    with dask(cluster.scheduler_address, project) as engine:
        sleeping = submit(engine, "sleep", str(tmp_path / "began"))
        pid = began(tmp_path / "began")
        kill_busy_worker(cluster)
        exited = how_it_ended(sleeping)
        assert str(exited) == "the Dask worker that had begun it is gone"
        wait_until(lambda: is_gone(pid))
        assert began(tmp_path / "began") == pid


def test_what_waits_for_a_dask_worker_can_be_stopped(project, cluster, tmp_path):
    with dask(cluster.scheduler_address, project) as engine:
        sleeping = [
            submit(engine, "sleep", str(tmp_path / f"began {n}")) for n in range(3)
        ]
        wait_until(lambda: len(list(tmp_path.glob("began *"))) == 2)
        engine.stop()
        words = sorted(str(how_it_ended(each)) for each in sleeping)
        assert [each[:11] for each in words] == ["exit code 3"] * 2 + ["it was stop"]


def test_a_cluster_is_made_by_the_class_that_the_project_names(project):
    with dask(None, project, cluster="tests.engines.clusters.Small", workers=1) as made:
        assert made.n_jobs == 1
        assert answer(submit(made, "add", 1, 1)) == 2
    with (
        dask(None, project, cluster="tests.engines.nowhere.Slurm") as made,
        pytest.raises(nm.UsageError, match="cannot be imported"),
    ):
        submit(made, "add", 1, 1)


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
        submit(engine, "add", 1, 1)
    monkeypatch.setattr("nbmlops.engines.preflight._version", lambda _name: "9.9")
    with (
        dask(cluster.scheduler_address, project) as engine,
        pytest.raises(nm.UsageError, match=r"It has nbmlops .*, and this process 9\.9"),
    ):
        submit(engine, "add", 1, 1)
    monkeypatch.undo()
    (tmp_path / "only_here.py").write_text("def read_machine(mark):\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(
        "nbmlops.engines.dask.read_machine",
        importlib.import_module("only_here").read_machine,
    )
    with (
        dask(cluster.scheduler_address, project) as engine,
        pytest.raises(nm.UsageError, match="No module named 'only_here'"),
    ):
        submit(engine, "add", 1, 1)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(nm.DependencyError) as caught:
        get_engine("dask", load_settings(project))
    assert "nbmlops[dask]" in caught.value.fix


def test_a_dask_worker_that_came_later_is_asked_before_it_begins(cluster, project):
    with dask(cluster.scheduler_address, project) as engine:
        assert engine.n_jobs == 2
        (mark,) = (project / ".nbmlops" / "pipelines" / "marks").iterdir()
        mark.write_text("of another run")
        exited = how_it_ended(submit(engine, "add", 1, 1))
        assert "was refused: It does not see the project" in str(exited)
    assert not mark.exists()


def test_another_folder_and_another_machine_are_faults(tmp_path):
    mark = tmp_path / "mark"
    mark.write_text("mine")
    mine = read_machine(str(mark))
    assert find_problem(mine, mine, is_store_here=True) is None
    unseen = read_machine(str(tmp_path / "gone"))
    assert "does not see" in find_problem(mine, unseen, is_store_here=False)[0]
    stale = {**mine, "mark": "older"}
    assert "does not see" in find_problem(mine, stale, is_store_here=False)[0]
    far = {**mine, "host": "elsewhere"}
    assert find_problem(mine, far, is_store_here=False) is None
    assert "MLFLOW_TRACKING_URI" in find_problem(mine, far, is_store_here=True)[1]
