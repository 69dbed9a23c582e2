"""What a sweep is asked to be, and what it tells; no notebook is run."""

import json
import math
import sys

import numpy as np
import optuna
import pytest

import nbmlops as nm
from nbmlops.cli.main import invoke
from nbmlops.entities import Step, StepReport, SweepReport, ranked
from nbmlops.errors import DependencyError, NotFoundError, UsageError
from nbmlops.execution.parameters.parameters import Parameter
from nbmlops.pipeline.sweeps.checking import Checker
from nbmlops.pipeline.sweeps.grid import of_grid, of_list, parse_grid, parse_space
from nbmlops.pipeline.sweeps.sources import (
    SearchHistory,
    SearchSource,
    SweepProgress,
)
from nbmlops.pipeline.sweeps.space import Space, read_space
from nbmlops.pipeline.sweeps.spec import SweepSpec
from nbmlops.render.sweeps import SweepView, sweep_csv
from nbmlops.store.runs import queries as runs
from nbmlops.tracking.run.pruning import PruningReporter, read_steps
from tests.notebooks import write_notebook
from tests.pipeline.pipelines import wait_for_senders

DECLARED = {
    each.name: each
    for each in (
        Parameter(name="C", type="float", default_source="1.0"),
        Parameter(name="n", type="int", default_source="1"),
        Parameter(name="kind", type="Literal['a', 'b']", default_source="'a'"),
        Parameter(name="layers", type="list[int]", default_source="[1]"),
        Parameter(name="any", default_source="None"),
    )
}


@pytest.fixture
def checker():
    return Checker(DECLARED)


@pytest.fixture
def train(project):
    return write_notebook(
        project / "train.ipynb",
        ["open('ran', 'w')"],
        parameters="C: float\nn: int = 1\nkind = 'a'",
    )


def refused(train, store, **options):
    with pytest.raises(UsageError) as caught:
        nm.sweep(train, store=store, **options)
    assert not (train.parent / "ran").exists()
    assert not runs.list_runs(store)
    return caught.value.problem


def test_all_problems_of_a_sweep_are_said_at_once_and_nothing_runs(train, store):
    problem = refused(
        train,
        store,
        grid={"c": [1], "n": ["x", 2, 2], "kind": "abc"},
        params={"q": 1, "n": 3},
        mode="mx",
        jobs=0,
        inputs=["data/*.csv", "../../other.csv"],
        kernel_name="pyton3",
        trials=5,
    )
    for part in (
        "No parameter 'c'. Did you mean 'C'?",
        "Parameter 'n' is 'x' (str), not int.",
        "Grid 'n' has 2 twice.",
        "Grid 'kind' is 'abc', not a list of values.",
        "No parameter 'q'.",
        "Parameter 'n' is fixed, and swept too.",
        "Parameter 'C' has no default and is not given.",
        "The mode is 'mx', not max or min. Did you mean 'max'?",
        "jobs is 0, not 1 or more.",
        "Input 'data/*.csv' is not there",
        "'../../other.csv' is outside of the project: inputs may be in",
        "No kernel 'pyton3' is installed. Did you mean 'python3'?",
        "trials is given, but no space to search.",
    ):
        assert part in problem, part


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({}, "has no grid, sets or space"),
        ({"grid": {}, "sets": []}, "has grid and sets"),
        ({"grid": {}}, "The grid names no parameter"),
        ({"grid": {"C": []}}, "Grid 'C' is empty"),
        ({"grid": {"C": {1, 2}}}, "not a list of values"),
        ({"grid": {"C": range(200), "n": range(200)}}, "40,000 runs, above 10,000"),
        ({"grid": {"C": ["${{ steps.a.values.b }}"]}}, "has a template"),
        ({"grid": {"C": [["${{ steps.a.values.b }}"]]}}, "has a template"),
        ({"grid": [{"C": 1}]}, "not lists of values by name"),
        ({"grid": {"C": [1]}, "params": ["n"]}, "not a mapping of names"),
        ({"sets": []}, "There are no sets"),
        ({"sets": {"C": 1}}, "not a list of mappings"),
        ({"sets": [{"C": 1}, 3]}, "set 2: It is 3, not a mapping"),
        ({"sets": [{"C": 1}, {"n": 1}]}, "set 2: Parameter 'C' has no default"),
        ({"sets": [{"C": 1}, {"C": 1}]}, "set 2: The set is that of set 1 again"),
        ({"grid": {"C": [1, 1.0]}}, "Grid 'C' has 1.0 twice"),
        ({"space": {"C": (0, 1)}, "trials": 3}, "names no metric"),
        ({"space": {"C": (0, 1)}, "metric": "auc"}, "has no end"),
        ({"space": {"C": (0, 1)}, "metric": "a", "trials": True}, "trials is True"),
        ({"grid": {"C": [1]}, "mode": "min"}, "A mode is given, but no metric"),
        ({"grid": {"C": [1]}, "timeout_s": 0}, "timeout is 0, not above 0"),
        ({"space": {"C": (0, 1)}, "pruner": "medan"}, "Did you mean 'median'"),
        ({"space": {"C": (0, 1)}, "sampler": 3}, "The sampler is 3"),
        ({"grid": {"C": [object()]}}, "Parameter 'C' is a object"),
    ],
)
def test_a_sweep_that_cannot_be_run_is_refused(train, store, options, part):
    assert part in refused(train, store, **options)


def test_a_notebook_without_parameters_cannot_be_swept(store, project):
    path = write_notebook(project / "plain.ipynb", ["1"])
    assert "no cell of the notebook is tagged" in refused(path, store, grid={"C": [1]})
    with pytest.raises(NotFoundError):
        nm.sweep(project / "gone.ipynb", grid={"C": [1]}, store=store)


def test_a_grid_takes_arrays_and_ranges_and_its_last_axis_changes_fastest(checker):
    found = of_grid({"C": np.array([0.5, 1.0]), "n": range(1, 3)}, [], checker)
    assert found == [
        {"C": 0.5, "n": 1},
        {"C": 0.5, "n": 2},
        {"C": 1.0, "n": 1},
        {"C": 1.0, "n": 2},
    ]
    assert type(found[0]["C"]) is float
    assert not checker.problems


SETS = [{"C": 0.1, "kind": "b"}, {"C": 1, "layers": [1, 2]}]
FILES = {
    "sets.json": json.dumps(SETS),
    "sets.yaml": "- {C: 0.1, kind: b}\n- C: 1\n  layers: [1, 2]\n",
    "sets.csv": 'C,kind,layers\n0.1,b,\n\n1,,"[1, 2]"\n',
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_holds_the_same_sets_in_each_form(project, checker, name):
    (project / name).write_text(FILES[name])
    assert of_list(project / name, [], checker) == SETS
    assert not checker.problems


@pytest.mark.parametrize(
    ("name", "text", "problems"),
    [
        (
            "a.yaml",
            "- C: 1\n- {c: 2}\n- 7\n- {C: x, n: 1.5}\n- {C: 1}\n",
            [
                "line 2: No parameter 'c'",
                "line 3: It is 7",
                "line 4: Parameter 'C' is",
                "line 4: Parameter 'n' is 1.5",
                "line 5: The set is that of line 1",
            ],
        ),
        ("a.yaml", "C: 1\n", ["a.yaml is not a list of mappings"]),
        ("a.yaml", "- [\n", ["line 2: This is not YAML"]),
        ("a.json", "", ["a.json is not a list"]),
        (
            "a.csv",
            "C,N,C\n1,2,3,4\nx,1,1\n",
            [
                "line 1: The column 'C' is there twice",
                "line 1: No parameter 'N'",
                "line 2: It has 4 cells, not 3",
                "line 3: Parameter 'C' is 'x'",
            ],
        ),
        ("a.csv", "", ["There are no sets"]),
        ("a.csv", 'C\n"1\n', ["This is not CSV"]),
    ],
)
def test_problems_of_a_file_are_said_with_their_lines(
    project, checker, name, text, problems
):
    (project / name).write_text(text)
    of_list(project / name, [], checker)
    found = "\n".join(checker.problems)
    for problem in problems:
        assert problem in found, found


def test_a_file_that_cannot_be_read_is_refused(project, checker):
    (project / "sets.csv").write_bytes(b"C\n\xff\n")
    with pytest.raises(UsageError, match=r"Save it as text in UTF-8"):
        of_list(project / "sets.csv", [], checker)
    with pytest.raises(NotFoundError, match=r"Did you mean 'sets.csv'"):
        of_list(project / "set.csv", [], checker)
    with pytest.raises(UsageError, match=r"is no file of sets"):
        of_list(project / "sets.txt", [], checker)


def test_ranges_are_of_the_declared_type(checker):
    given = {
        "C": (1, 10),
        "n": (1, 8, "log"),
        "kind": ["a", "b"],
        "layers": [[64], [64, 32]],
        "any": (0.0, 1.0, 0.25),
    }
    space = read_space(given, [], checker)
    assert not checker.problems
    of = optuna.distributions
    assert space.distributions == {
        "C": of.FloatDistribution(1, 10),
        "n": of.IntDistribution(1, 8, log=True),
        "kind": of.CategoricalDistribution(["a", "b"]),
        "layers": of.CategoricalDistribution(["[64]", "[64, 32]"]),
        "any": of.FloatDistribution(0, 1, step=0.25),
    }
    assert space.decode({"layers": "[64, 32]", "n": 3}) == {"layers": [64, 32], "n": 3}
    assert space.described()["n"] == "1..8:log"
    own = {"C": of.FloatDistribution(0, 1), "kind": of.CategoricalDistribution(["a"])}
    assert read_space(own, [], checker).distributions == own


@pytest.mark.parametrize(
    ("name", "given", "part"),
    [
        ("D", (0, 1), "No parameter 'D'"),
        ("C", (1, 0), "goes from 1 to 0"),
        ("C", (1.0, 1.0), "goes from 1.0 to 1.0"),
        ("C", (0.0, math.nan), "goes from"),
        ("C", (0.0, math.inf), "goes from"),
        ("C", (0, 10, "log"), "`low > 0` must hold"),
        ("C", (1, 10, "lg"), "or a list of choices"),
        ("C", (False, True), "or a list of choices"),
        ("C", [], "or a list of choices"),
        ("C", 3, "or a list of choices"),
        ("C", [1, 1.0], "has 1.0 twice"),
        ("n", (1.0, 5.0), "Parameter 'n' is 1.0 (float), not int"),
        ("n", (1, 5, 0.5), "Parameter 'n' is 1.0 (float), not int"),
        ("kind", ["a", "z"], "Parameter 'kind' is 'z'"),
        ("kind", (1, 2), "Parameter 'kind' is 1"),
        ("n", optuna.distributions.FloatDistribution(0, 1), "Parameter 'n' is 0.0"),
    ],
)
def test_a_range_that_does_not_fit_is_refused(checker, name, given, part):
    read_space({name: given}, [], checker)
    assert part in "\n".join(checker.problems)


def test_without_optuna_a_search_names_the_extra(train, store, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(DependencyError, match=r"nbmlops\[sweep\]"):
        nm.sweep(train, space={"C": (0, 1)}, metric="auc", trials=1, store=store)


def test_typed_grids_and_spaces_are_of_the_declared_types():
    typed = ["C=0.1, 1", 'kind=a,"b,c"', "layers=[[1], [1, 2]]", "n=-3,4", "any="]
    assert parse_grid(DECLARED, typed) == {
        "C": [0.1, 1.0],
        "kind": ["a", "b,c"],
        "layers": [[1], [1, 2]],
        "n": [-3, 4],
        "any": [],
    }
    typed = ["C=1e-3..1e2:log", "n=-1..20", "any=0..1:0.25", "kind=a,b", "layers=[[1]]"]
    assert parse_space(DECLARED, typed) == {
        "C": (0.001, 100.0, "log"),
        "n": (-1, 20),
        "any": (0, 1, 0.25),
        "kind": ["a", "b"],
        "layers": [[1]],
    }
    for typed in (["C"], ["=1"], ["C=1", "C=2"]):
        with pytest.raises(UsageError):
            parse_grid(DECLARED, typed)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--grid", "c=1"], "Did you mean 'C'?"),
        (["--grid", "C"], "'C' gives no values."),
        (["--grid", "C=1", "--sets", "a.csv"], "has grid and sets"),
        (["--space", "C=0..x", "--metric", "auc", "--trials", "2"], "(0.0, 'x')"),
        (["--grid", "C=1", "--metric", "area"], "Say so: mode min or mode max."),
        (["--grid", "C=1", "--mode", "best"], "mode"),
        (["--grid", "C=1,1.0"], "Grid 'C' has 1.0 twice"),
        ([], "has no grid, sets or space"),
    ],
)
def test_the_command_refuses_what_cannot_be_run(train, capsys, words, part):
    assert invoke(["sweep", "train.ipynb", *words, "--json"]) == 2
    out, err = capsys.readouterr()
    assert part in json.loads(out)["message"]
    assert part in err


def test_when_the_time_is_up_no_run_begins(train, store):
    view = nm.sweep(train, grid={"C": [1, 2]}, time_s=1e-9, store=store)
    assert {run.state for run in view.report.runs} == {"not run"}
    assert {run.why for run in view.report.runs} == {"the time was up"}
    assert view.best is None
    assert "the time was up after 1e-09 s" in repr(view)
    wait_for_senders()


def done(name, state="done", **metrics):
    return StepReport(step=name, state=state, metrics=metrics, params={"C": 1})


def test_what_is_not_finite_or_not_done_is_never_the_best():
    found = [
        done("a", auc=math.nan),
        done("b", auc=math.inf),
        done("c", auc=0.4),
        done("d", "pruned", auc=0.9),
        done("e", "failed", auc=0.9),
        done("f", loss=1.0),
        done("g", "cached", auc=0.5),
        done("h", auc=0.5),
    ]
    assert [run.step for run in ranked(found, "auc", "max")] == ["g", "h", "c"]
    assert [run.step for run in ranked(found, "auc", "min")] == ["c", "g", "h"]
    said = []
    tally = SweepProgress(None, "auc", "max", said.append)
    for each in found:
        tally.add(each)
    assert tally.best.step == "g"
    assert said[-1].startswith("8 of ? ended, 1 cached, 1 failed, 1 pruned")


def test_the_table_has_the_best_first_and_shows_itself():
    runs = (
        done("t[C=<1>]", auc=0.1),
        done("t[C=2]", auc=0.2),
        done("t[C=3]", "failed"),
    )
    report = SweepReport(
        sweep="t",
        notebook="t.ipynb",
        run_id="k123456789",
        status="FAILED",
        duration_s=1.0,
        swept=("C",),
        metric="auc",
        mode="max",
        best=runs[1],
        runs=runs,
    )
    view = SweepView(report)
    assert repr(view).splitlines()[1].split()[:5] == ["t[C=2]", "*", "done", "1", "0.2"]
    assert "best auc=0.2: C=1" in repr(view)
    assert "&lt;1&gt;" in view._repr_html_()
    frame = view.frame()
    assert list(frame["name"]) == ["t[C=2]", "t[C=<1>]", "t[C=3]"]
    assert list(frame["metrics.auc"])[:2] == [0.2, 0.1]
    assert sweep_csv(report).decode().splitlines()[0] == (
        "run_id,name,state,duration_s,why,params.C,metrics.auc"
    )


def test_a_line_that_is_not_whole_yet_is_read_later(tmp_path):
    file = tmp_path / "steps"
    assert read_steps(file, 0) == ([], 0)
    watched = PruningReporter(str(file), "auc")
    watched.note({"auc": 0.5, "loss": 1.0}, 3)
    watched.note({"loss": 1.0}, 4)
    with file.open("a") as stream:
        stream.write("5 0.")
    steps, offset = read_steps(file, 0)
    assert steps == [(3, 0.5)]
    with file.open("a") as stream:
        stream.write("25\n6 nan\n")
    steps, _ = read_steps(file, offset)
    assert steps[0] == (5, 0.25)
    assert steps[1][0] == 6
    assert math.isnan(steps[1][1])


class Sweeper:
    """A search whose runs are a function, done one after the other."""

    def __init__(self, folder, *, trials=6, seed=0, metric="auc", pruner="none"):
        checker = Checker(DECLARED)
        space = read_space({"C": (0.01, 10, "log"), "kind": ["a", "b"]}, [], checker)
        spec = SweepSpec(metric=metric, trials=trials, seed=seed, jobs=1, pruner=pruner)
        self.said = []
        self.search = SearchSource(
            Step(name="t", line=1, notebook="t.ipynb"),
            space if isinstance(space, Space) else None,
            spec,
            "max",
            history=SearchHistory(folder / "memory"),
            folder=folder / "watched",
            progress=SweepProgress(trials, metric, "max", self.said.append),
        )

    def run(self, runs=100, state="done", value=lambda combo: 1 / combo["C"]):
        """Run the next sets, and return all that were asked for."""
        combos = []
        for _ in range(runs):
            step_run = self.search.next()
            if step_run is None:
                break
            combos.append((step_run.name, dict(step_run.combo)))
            self.search.report(
                step_run, done(step_run.name, state, auc=value(step_run.combo))
            )
        return combos


def test_the_same_seed_asks_for_the_same_sets(tmp_path):
    first = Sweeper(tmp_path / "a").run()
    assert len(first) == 6
    assert first == Sweeper(tmp_path / "b").run()
    assert first != Sweeper(tmp_path / "c", seed=1).run()


def test_a_search_goes_on_with_what_it_has_asked_for(tmp_path):
    first = Sweeper(tmp_path)
    asked = first.run(3)
    asked.append((first.search.next().name, None))  # killed while it ran
    again = Sweeper(tmp_path).run(state="cached")
    assert [name for name, _ in again] == [f"t[{n}]" for n in range(6)]
    assert again[:3] == asked[:3]
    assert len({str(combo) for _, combo in again}) == 6
    more = Sweeper(tmp_path, trials=8).run(state="cached")
    assert more[:6] == again
    assert len(more) == 8
    (tmp_path / "memory").write_text('[{"number": 0}]')
    assert Sweeper(tmp_path).run()[0] == asked[0]


def test_what_failed_is_asked_for_again_and_what_was_pruned_is_not(tmp_path):
    first = Sweeper(tmp_path)
    names = first.run(2) + first.run(1, state="failed")
    step_run = first.search.next()
    PruningReporter(str(step_run.pruning.folder / "steps"), "auc").note(
        {"auc": 0.25}, 7
    )
    first.search.poll()
    first.search.report(step_run, done(step_run.name, "pruned", auc=0.25))
    again = Sweeper(tmp_path)
    (before,) = again.search.pruned_before
    assert (before.step, before.state, before.metrics) == (
        "t[3]",
        "pruned",
        {"auc": 0.25},
    )
    assert before.params == step_run.combo
    ran = again.run()
    assert ran[:3] == names
    assert [name for name, _ in ran] == ["t[0]", "t[1]", "t[2]", "t[4]", "t[5]"]


def test_what_is_not_worth_going_on_gets_a_verdict_but_not_at_step_0(tmp_path):
    pruner = optuna.pruners.ThresholdPruner(lower=0.5)
    sweeper = Sweeper(tmp_path, pruner=pruner)
    step_run = sweeper.search.next()
    verdict = step_run.pruning.folder / "verdict"
    watched = PruningReporter(str(step_run.pruning.folder / "steps"), "auc")
    for step, value in ((0, 0.1), (1, 0.9), (-1, 0.0)):
        watched.note({"auc": value}, step)
        sweeper.search.poll()
        assert not verdict.exists()
    watched.note({"auc": 0.25}, 2)
    sweeper.search.poll()
    assert verdict.read_text() == "pruned at step 2, auc=0.25"


def test_the_median_pruner_gives_up_what_is_behind_the_others(tmp_path):
    sweeper = Sweeper(tmp_path, pruner="median", trials=7)
    for n in range(6):
        step_run = sweeper.search.next()
        value = 0.1 if n == 5 else 0.9
        PruningReporter(str(step_run.pruning.folder / "steps"), "auc").note(
            {"auc": value}, 1
        )
        sweeper.search.poll()
        assert (step_run.pruning.folder / "verdict").exists() == (n == 5)
        sweeper.search.report(step_run, done(step_run.name, auc=value))


def test_a_search_by_a_metric_that_no_run_has_ends_at_once(tmp_path):
    with pytest.raises(UsageError, match=r"no metric 'acu' to search by. Did you mean"):
        Sweeper(tmp_path, metric="acu").run(1)


def test_a_value_that_is_nan_ends_no_search(tmp_path):
    sweeper = Sweeper(tmp_path)
    asked = sweeper.run(value=lambda combo: math.nan if combo["C"] > 0.1 else 0.5)
    assert len(asked) == 6
    assert optuna.trial.TrialState.FAIL in {
        trial.state for trial in sweeper.search._study.trials
    }
