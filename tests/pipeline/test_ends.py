"""Interrupts, effects that are to be once, and pipelines at the same time."""

import json
import os
import signal
import time

import psutil
import pytest

import nbmlops as nm
from nbmlops.entities import Step
from nbmlops.errors import NotebookError, PipelineRunError
from nbmlops.pipeline.runner.once_record import OnceRecord
from nbmlops.store.runs import queries
from tests.notebooks import write_notebook
from tests.pipeline.pipelines import (
    command,
    finish,
    kill_group,
    ledger,
    states,
    wait_for_senders,
    wait_until,
    write_chain,
    write_pipeline,
)

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def _settled():
    yield
    wait_for_senders()


def write_sleeper(project, seconds):
    write_notebook(
        project / "sleep.ipynb",
        ["import time\nprint('began', file=open('ledger.txt', 'a'))\n"
         f"time.sleep({seconds})\nprint('ended', file=open('ledger.txt', 'a'))"],
    )  # fmt: skip
    write_notebook(
        project / "next.ipynb", ["print('next', file=open('ledger.txt','a'))"]
    )
    return write_pipeline(
        project,
        "steps: {a: {notebook: sleep.ipynb}, b: {notebook: next.ipynb, needs: a}}",
    )


def test_two_interrupts_stop_the_running_steps(store, project):
    path = write_sleeper(project, 120)
    process = command(project, "pipeline", "run", path.name)
    wait_until(lambda: ledger(project) == ["began"])
    os.killpg(process.pid, signal.SIGINT)
    line = process.stderr.readline()
    while "interrupt again" not in line:
        line = process.stderr.readline()
    os.killpg(process.pid, signal.SIGINT)
    code, _, err = finish(process, limit_s=60)
    assert code == 130, err
    status = nm.Pipeline.load(path, store=store).status().report
    assert (status.status, states(status)) == (
        "KILLED",
        {"a": "stopped", "b": "not run"},
    )
    (run,) = queries.list_runs(store, filter="attributes.run_name = 'a'")
    assert run.status == "KILLED"
    assert ledger(project) == ["began"]


def test_the_run_of_a_killed_pipeline_is_ended_by_the_next(store, project):
    path = write_sleeper(project, 120)
    process = command(project, "pipeline", "run", path.name)
    wait_until(lambda: ledger(project) == ["began"])
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    assert [run.name for run in queries.list_running(store)] != []
    write_sleeper(project, 0)
    report = nm.Pipeline.load(path, store=store).run().report
    assert states(report) == {"a": "done", "b": "done"}
    assert queries.list_running(store) == ()


def write_once(project, outputs):
    write_notebook(
        project / "send.ipynb",
        ["import os, signal\nprint('send', file=open('ledger.txt', 'a', buffering=1))\n"
         "if receipt:\n    open('sent.txt', 'w').write('x')\n"
         "if dies and not os.path.exists('alive'):\n"
         "    os.kill(int(os.environ['JPY_PARENT_PID']), signal.SIGKILL)\n"
         "    import time; time.sleep(60)"],
        parameters="receipt: bool = True\ndies: bool = True",
    )  # fmt: skip
    return write_pipeline(
        project,
        f"steps: {{send: {{notebook: send.ipynb, once: true, outputs: {outputs}, "
        f"params: {{receipt: {str(bool(outputs)).lower()}}}, retries: 3}}}}",
    )


def test_an_effect_with_a_receipt_is_not_repeated(store, project):
    path = write_once(project, ["sent.txt"])
    with pytest.raises(PipelineRunError, match="signal 9"):
        nm.Pipeline.load(path, store=store).run()
    result = nm.Pipeline.load(path, store=store).run()
    assert states(result.report) == {"send": "done"}
    (parent,) = (
        run
        for run in queries.list_runs(store, filter="attributes.run_name = 'send'")
        if run.status == "KILLED"
    )
    assert result.report.step("send").run_id == parent.run_id
    assert "what it emitted is lost" in result.report.notes[0]
    assert states(nm.Pipeline.load(path, store=store).run(force=True).report) == {
        "send": "cached"
    }
    assert ledger(project) == ["send"]


def test_a_step_killed_before_its_first_cell_was_not_begun(
    store, project, tmp_path, monkeypatch
):
    silent = ["sleep", f"613.{os.getpid()}"]
    spec = tmp_path / "jupyter" / "kernels" / "silent" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": silent, "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    write_once(project, [])
    path = write_pipeline(
        project, "steps: {send: {notebook: send.ipynb, once: true, kernel: silent}}"
    )
    process = command(project, "pipeline", "run", path.name)

    def kernels():
        known = psutil.process_iter(["cmdline"])
        return [each for each in known if each.info["cmdline"] == silent]

    wait_until(kernels)
    kill_group(process)
    for kernel in kernels():  # which the next command would have done
        kernel.kill()
    once = project / ".nbmlops" / "pipelines" / "once"
    assert not [each for each in once.rglob("*") if each.is_file()]


@pytest.mark.parametrize("cold", [False, True])
def test_a_cell_is_not_given_any_more_when_an_interrupt_came_first(
    store, project, cold
):
    path = write_notebook(
        project / "a.ipynb", ["print('began', file=open('ledger.txt', 'a'))"]
    )

    def tell(progress):
        if progress.cell:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)

    with pytest.raises(KeyboardInterrupt) as caught:
        nm.run_notebook(path, store=store, on_progress=tell, cold=cold)
    reported = caught.value.__cause__
    assert reported.cell_index is None
    assert reported.problem == "a.ipynb was interrupted before its first cell."
    assert ledger(project) == []
    assert next(iter(queries.list_runs(store))).status == "KILLED"


@pytest.mark.parametrize(
    ("how", "cell_index", "is_left"),
    [
        ("interrupted", 0, True),
        ("interrupted", None, False),
        ("died", 1, True),
        ("timed out", None, False),
        ("raised", 2, False),
    ],
)
@pytest.mark.parametrize("is_raised_itself", [False, True])
def test_an_record_goes_when_it_is_known_that_nothing_took_place(
    tmp_path, how, cell_index, is_left, is_raised_itself
):
    error = NotebookError(
        "so", fix="", notebook="a.ipynb", how=how, cell_index=cell_index
    )

    record = OnceRecord(tmp_path, "ab" * 32)
    step = Step(name="a", line=1, notebook="a.ipynb")

    def run():
        with record.guard(step):
            record.begin()
            if is_raised_itself:
                raise error
            raise KeyboardInterrupt from error

    with pytest.raises((NotebookError, KeyboardInterrupt)):
        run()
    assert record.is_under_way() == is_left


def test_an_effect_without_a_receipt_is_refused_until_it_is_named(store, project):
    path = write_once(project, [])
    for problem in ("signal 9", "was begun at", "was begun at"):
        with pytest.raises(PipelineRunError, match=problem):
            nm.Pipeline.load(path, store=store).run()
    assert ledger(project) == ["send"]
    (project / "alive").touch()
    report = nm.Pipeline.load(path, store=store).run(force="send").report
    assert states(report) == {"send": "done"}
    assert states(nm.Pipeline.load(path, store=store).run().report) == {
        "send": "cached"
    }
    assert ledger(project) == ["send", "send"]


def test_an_effect_whose_code_failed_may_be_tried_again(store, project):
    write_notebook(
        project / "send.ipynb",
        ["print('send', file=open('ledger.txt', 'a', buffering=1))\n"
         "import os\nassert os.path.exists('alive')"],
    )  # fmt: skip
    path = write_pipeline(project, "steps: {send: {notebook: send.ipynb, once: true}}")
    with pytest.raises(PipelineRunError, match="AssertionError"):
        nm.Pipeline.load(path, store=store).run()
    (project / "alive").touch()
    assert states(nm.Pipeline.load(path, store=store).run().report) == {"send": "done"}


def test_an_record_that_cannot_be_read_counts(project):
    record = OnceRecord(project / ".nbmlops", "ab" * 32)
    record.begin()
    (path,) = (project / ".nbmlops" / "pipelines" / "once").glob("??/*")
    path.write_bytes(b"")
    spec = nm.Pipeline.load(write_chain(project)).spec
    with pytest.raises(nm.ConflictError, match="is to be done once"):
        record.find_completed(spec.steps[1], project)
    record.remove()
    assert record.find_completed(spec.steps[1], project) is None


SEND = "print('send', file=open('ledger.txt', 'a', buffering=1))\n"


@pytest.mark.slow
def test_an_effect_whose_outputs_were_not_made_is_not_repeated(store, project):
    write_notebook(project / "send.ipynb", [SEND])
    path = write_pipeline(
        project,
        "steps: {send: {notebook: send.ipynb, once: true, outputs: [sent.txt]}}",
    )
    for problem in ("did not make its outputs", "has not made its outputs"):
        with pytest.raises(PipelineRunError, match=problem):
            nm.Pipeline.load(path, store=store).run()
    (planned,) = nm.Pipeline.load(path, store=store).plan().steps
    assert "will fail: Step 'send' is to be done once; it was done at" in planned.why
    (project / "sent.txt").touch()
    report = nm.Pipeline.load(path, store=store).run().report
    assert states(report) == {"send": "done"}
    assert queries.get_run(store, report.step("send").run_id).name == "send"
    assert states(nm.Pipeline.load(path, store=store).run().report) == {
        "send": "cached"
    }
    assert ledger(project) == ["send"]


@pytest.mark.slow
def test_an_effect_whose_result_cannot_be_kept_is_not_repeated(store, project):
    source = SEND + (
        "import nbmlops as nm\nnm.emit(n=1, api_token='ghp_' + 'a1B2c3D4e5F6' * 3)"
    )
    write_notebook(project / "send.ipynb", [source])
    path = write_pipeline(project, "steps: {send: {notebook: send.ipynb, once: true}}")
    entries = project / ".nbmlops" / "cache" / "entries"
    entries.parent.mkdir(parents=True)
    entries.write_text("in the way")
    for _ in range(2):
        report = nm.Pipeline.load(path, store=store).run().report
        assert "is not kept" in report.notes[0]
    entries.unlink()
    report = nm.Pipeline.load(path, store=store).run().report
    assert report.step("send").values == {"n": 1}
    assert states(nm.Pipeline.load(path, store=store).run().report) == {
        "send": "cached"
    }
    assert ledger(project) == ["send"]


def test_equal_effects_of_two_steps_are_two(store, project):
    write_notebook(project / "send.ipynb", [SEND])
    step = "{notebook: send.ipynb, once: true}"
    path = write_pipeline(project, f"steps: {{a: {step}, b: {step}}}")
    report = nm.Pipeline.load(path, store=store).run(jobs=2).report
    assert states(report) == {"a": "done", "b": "done"}
    assert ledger(project) == ["send", "send"]


def test_two_commands_at_once_share_the_cache(store, project):
    path = write_chain(project)
    other = write_pipeline(
        project, path.read_text().replace("chain", "other"), "b.yaml"
    )
    words = [
        ("pipeline", "run", each, "--json")
        for each in (path.name, path.name, other.name)
    ]
    running = [command(project, *each) for each in words]
    for process in running:
        code, out, err = finish(process)
        assert code == 0, err
        report = json.loads(out)
        assert {each["state"] for each in report["steps"]} <= {"cached", "done"}
        assert report["steps"][1]["values"] == {"score": 12.0, "n": 3}
    assert (project / "build" / "clean.txt").read_text() == "1 2 3"
    assert ledger(project).count("prepare") in (1, 2)
    nm.Pipeline.load(path, store=store).status()
    runs = queries.list_runs(store, filter="tags.`nbmlops.kind` = 'pipeline'")
    assert [run.status for run in runs] == ["FINISHED"] * 3


def test_a_failing_command_says_so_and_leaves_with_1(project):
    write_notebook(project / "bad.ipynb", ["1 / 0"])
    write_pipeline(project, "steps: {bad: {notebook: bad.ipynb}}")
    code, out, err = finish(
        command(project, "pipeline", "run", "pipeline.yaml", "--json")
    )
    assert code == 1
    assert json.loads(out)["error"] == "PipelineRunError"
    assert "In cell 0 of bad.ipynb: ZeroDivisionError: division by zero." in err
    write_pipeline(project, "steps: {bad: {notebok: bad.ipynb}}")
    code, out, err = finish(command(project, "pipeline", "plan", "pipeline.yaml"))
    assert (code, out) == (2, "")
    assert (
        "line 1: Unknown key 'notebok' of step 'bad'. Did you mean 'notebook'?" in err
    )
