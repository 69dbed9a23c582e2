"""What a run accounts for, on workers that answer at once: no kernel is started."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbmlops.config import load_settings
from nbmlops.entities import PipelineSpec, Step, StepReport
from nbmlops.execution.parameters.parameters import Parameter
from nbmlops.pipeline.runner.planner import Planner
from nbmlops.pipeline.runner.runner import Runner
from nbmlops.pipeline.runner.step_runs import Reply, StepRun, step_runs_of
from nbmlops.pipeline.spec.draft import NotebookSignature
from tests.notebooks import write_notebook

ALIKE = [1, "1", 1.0, True, "True", "true", None, "None", "null", "", "a", "a,y=1"]
ALIKE += ["1,y=1", "'1'", [1], "[1]", {"a": 1}, "{'a': 1}", float("nan"), "nan", "é b"]


class Answering:
    """An engine whose tasks end as they are asked to."""

    n_jobs, jobs_per_machine = 2, 9

    def __init__(self, end):
        self._end = end

    def prestart(self, module, env):
        pass

    def submit(self, module, env, task, *, limit_s=None):
        future = Future()
        future.set_result(self._end(task))
        return future

    def close(self):
        pass


class Records:
    """A recording that keeps the failures."""

    run_id, has_orphans = "run", False

    def __init__(self, folder):
        self.settings, self.failures = load_settings(folder), []

    def __getattr__(self, name):
        return lambda *_: {} if name in ("environment", "tags_of") else ()

    def log_failure(self, unit, problem):
        self.failures.append(unit)


@pytest.fixture
def run(project):
    """Return a function that runs steps of one notebook, some of whose runs fail."""
    write_notebook(project / "a.ipynb", [], parameters="x = None\ny = None")
    declared = {n: Parameter(name=n, default_source="None") for n in ("x", "y")}

    def run(steps, fails=(), *, keep_going=False):
        begun = []

        def end(task):
            begun.append(task.name)
            state = "failed" if task.name in fails else "done"
            report = StepReport(step=task.name, state=state, run_id="run")
            return Reply(report=report, failure="error" if state == "failed" else None)

        path = str(project / "pipeline.yaml")
        spec = PipelineSpec(
            name="p", path=path, experiment="p", params={}, steps=tuple(steps)
        )
        signatures = {
            s.name: NotebookSignature(declared=declared, emitted=frozenset())
            for s in steps
        }
        records = Records(project)
        runner = Runner(
            Planner(spec, signatures, records.settings),
            records,
            engine=Answering(end),
            jobs=None,
            keep_going=keep_going,
            say=lambda _: None,
        )
        return SimpleNamespace(
            report=runner.run(), begun=begun, failures=records.failures
        )

    return run


def step(name, **options):
    return Step(name=name, line=1, notebook="a.ipynb", **options)


axes = st.lists(st.sampled_from(ALIKE), min_size=1, max_size=4, unique_by=repr)


@st.composite
def pipelines(draw):
    steps = []
    for n in range(draw(st.integers(1, 4))):
        before = st.lists(st.sampled_from([s.name for s in steps] or [""]), unique=True)
        names = draw(st.lists(st.sampled_from("xy"), unique=True))
        grid = {name: tuple(draw(axes)) for name in names}
        steps.append(step(f"s{n}", needs=tuple(filter(None, draw(before))), grid=grid))
    return steps


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=pipelines(), bad=st.sets(st.integers(0, 20)), keep_going=st.booleans())
def test_every_run_of_any_pipeline_is_accounted_for(run, steps, bad, keep_going):
    units = [unit.name for each in steps for unit in step_runs_of(each)]
    assert len(set(units)) == len(units)
    fails = {name for n, name in enumerate(units) if n in bad}
    found = run(steps, fails, keep_going=keep_going)
    states = {each.step: each.state for each in found.report.steps}
    assert list(states) == units
    assert sorted(found.begun) == sorted(n for n in units if states[n] != "not run")
    failed = {name for name, state in states.items() if state == "failed"}
    assert failed == fails & set(found.begun)
    assert found.report.status == ("FAILED" if failed else "FINISHED")
    if not failed:
        assert set(states.values()) == {"done"}
    if keep_going:
        spec = PipelineSpec(
            name="p", path="", experiment="", params={}, steps=tuple(steps)
        )
        left = {n.partition("[")[0] for n, s in states.items() if s == "not run"}
        assert left == spec.downstream({name.partition("[")[0] for name in failed})
    order = [name.partition("[")[0] for name in found.begun]
    for each in steps:
        if each.name in order:
            first = order.index(each.name)
            assert set(each.needs) <= set(order[:first])


texts = st.sampled_from(ALIKE) | st.text("xy1=,[]'\"\\ a\n", max_size=8)


@given(
    combos=st.lists(
        st.dictionaries(st.sampled_from("xy"), texts),
        min_size=2,
        unique_by=repr,
    )
)
def test_no_two_combinations_of_values_have_one_name(combos):
    names = {StepRun(step=step("a"), combo=combo).name for combo in combos}
    assert len(names) == len(combos)


def test_a_runner_that_loses_a_step_fails_and_names_it(run):
    lost = [step("a", grid={"x": (1, 1)}), step("b", needs=("a",)), step("c")]
    found = run(lost)
    assert found.report.status == "FAILED"
    states = {each.step: each.state for each in found.report.steps}
    assert states == {"a[x=1]": "failed", "b": "failed", "c": "done"}
    assert "this is a bug of nbmlops" in found.report.step("b").why
    assert set(found.failures) == {"a[x=1]", "b"}
