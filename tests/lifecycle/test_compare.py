import json
import math
import re
import time
from html.parser import HTMLParser

import mlflow
import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import nbmlops as nm
from nbmlops.entities import Difference, to_json
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.store import artifacts, connect
from nbmlops.tracking.run.start import open_run

X = pd.DataFrame({"age": [31, 44, 27], "income": [1.5, 2.5, 3.5]})
_EVIL = '<script>alert(1)</script><img src=x onerror="alert(1)">'


def _run(name="run", *, params=None, metrics=None, curves=None, tags=None, **files):
    run = open_run(name=name, params=params, tags=tags)
    for key, values in (curves or {}).items():
        for step, value in enumerate(values):
            run.log_metrics({key: value}, step=step)
    run.log_metrics(metrics or {})
    for path, content in files.items():
        run.log_bytes(content, f"nbmlops/{path.replace('__', '.')}")
    run.close()
    return run.run_id


def _notebook(*sources, output=None, tags=()):
    cells = [new_markdown_cell("# A title")]
    for source in sources:
        outputs = [new_output("stream", text=output)] if output else []
        cells.append(new_code_cell(source, outputs=outputs))
    for source in tags:
        cell = new_code_cell(source, metadata={"tags": ["injected-parameters"]})
        cells.insert(1, cell)
    return nbformat.writes(new_notebook(cells=cells)).encode()


def test_what_differs_and_what_does_not_are_distinguished(project):
    a = _run("a", params={"C": 1, "depth": 3, "seed": 0}, metrics={"auc": 0.9, "f1": 1})
    b = _run("b", params={"C": 2, "seed": 0, "new": "x"}, metrics={"auc": 0.8, "f1": 1})
    found = nm.compare(a, b).comparison
    assert [run.run_id for run in found.runs] == [a, b]
    assert found.params.items == (
        Difference(name="C", values=("1", "2")),
        Difference(name="depth", values=("3", None)),
        Difference(name="new", values=(None, "x")),
    )
    assert found.params.equal == {"seed": "0"}
    (metric,) = found.metrics
    assert (metric.name, [h.last for h in metric.histories]) == ("auc", [0.9, 0.8])
    assert found.equal_metrics == {"f1": 1.0}
    assert found.packages.items == ()
    assert "pandas" in found.packages.equal
    text = str(nm.compare(a, b))
    assert re.search(r"^auc +0\.9 +0\.8 +-0\.1 \(-11\.1%\)$", text, re.MULTILINE)
    assert "differs: 1 metric, 3 params\n" in text
    assert "equal: 1 metric, 1 param, " in text.splitlines()[-1]


def test_same_last_value_with_another_best_or_curve_is_a_difference(project):
    a = _run(curves={"loss": [3.0, 0.5, 1.0], "same": [1.0, 2.0], "wave": [0, 5, 0]})
    b = _run(curves={"loss": [3.0, 2.0, 1.0], "same": [1.0, 2.0], "wave": [0, 5, 0]})
    view = nm.compare(a, b)
    (metric,) = view.comparison.metrics
    assert metric.mode == "min"
    assert [(h.best, h.best_step) for h in metric.histories] == [(0.5, 1), (1.0, 2)]
    assert re.search(r"· lowest +0\.5 at step 1 +1 at step 2 +\+0\.5", str(view))
    assert view.comparison.equal_metrics == {"same": 2.0, "wave": 0.0}


def test_nan_and_infinities_are_shown_as_they_are(project):
    a = _run(metrics={"nan": math.nan, "inf": math.inf, "x": math.nan})
    b = _run(metrics={"nan": math.nan, "inf": -math.inf, "x": 1.0})
    view = nm.compare(a, b)
    assert [metric.name for metric in view.comparison.metrics] == ["inf", "x"]
    assert set(view.comparison.equal_metrics) == {"nan"}
    assert re.search(r"^inf +inf +-inf$", str(view), re.MULTILINE)
    assert re.search(r"^x +nan +1$", str(view), re.MULTILINE)
    document = json.dumps(to_json(view.comparison), allow_nan=False)
    assert '"-Infinity"' in document


def test_values_that_differ_beyond_four_digits_do_not_look_the_same(project):
    a, b = _run(metrics={"auc": 0.812345678}), _run(metrics={"auc": 0.812345679})
    assert re.search(r"^auc +0\.812345678 +0\.812345679", str(nm.compare(a, b)), re.M)


def test_code_is_compared_cell_by_cell_without_outputs_and_markdown(project):
    before = _notebook("import pandas", "fit(C=1)", output="0.91", tags=["C = 1"])
    after = _notebook("import pandas", "fit(C=2)", "score()", tags=["C = 2"])
    a, b = _run(replay__ipynb=before), _run(replay__ipynb=after)
    (code,) = nm.compare(a, b).comparison.code
    assert [(c.change, c.positions, c.lines) for c in code.cells] == [
        ("changed", (2, 2), ("- fit(C=1)", "+ fit(C=2)")),
        ("added", (None, 3), ("+ score()",)),
    ]
    assert code.n_equal == 1
    text = str(nm.compare(a, b))
    assert "code, A to B: 1 changed, 1 added, 1 equal\n  cell 2 changed\n" in text
    c = _run(replay__ipynb=_notebook("import pandas", "fit(C=1)"))
    (code,) = nm.compare(a, c).comparison.code
    assert (code.cells, code.is_equal) == ((), True)
    assert "equal: code, " in str(nm.compare(a, c))


def test_cells_that_made_a_run_go_before_the_notebook_of_a_step(project):
    whole, cells = _notebook("a = 1", "b = 2"), _notebook("b = 2")
    step = _run(notebook__ipynb=whole)
    both = _run(notebook__ipynb=whole, replay__ipynb=cells)
    replay = _run(replay__ipynb=cells)
    assert nm.compare(step, both).comparison.code[0].is_equal
    assert nm.compare(both, replay).comparison.code[0].is_equal
    (code,) = nm.compare(step, replay).comparison.code
    assert [cell.change for cell in code.cells] == ["removed"]
    assert code.note == "nbmlops/notebook.ipynb is held against nbmlops/replay.ipynb."


def test_run_without_cells_is_said_to_have_no_code(project):
    a, b = _run(), _run(replay__ipynb=_notebook("x"))
    (code,) = nm.compare(b, a).comparison.code
    assert code.note == f"No code recorded for run {a[:8]}."
    assert not code.is_equal
    assert code.note in str(nm.compare(b, a))
    same = [_run(tags={"nbmlops.code_hash": "1"}) for _ in range(2)]
    other = _run(tags={"nbmlops.code_hash": "2"})
    assert nm.compare(*same).comparison.code[0].is_equal
    (code,) = nm.compare(same[0], other).comparison.code
    assert code.note.endswith("Its hash is another.")
    assert not code.is_equal


def test_notebook_that_cannot_be_read_does_not_hide_the_rest(project):
    a = _run(replay__ipynb=b"{", metrics={"auc": 0.9})
    b = _run(replay__ipynb=_notebook("x"), metrics={"auc": 0.8})
    found = nm.compare(a, b).comparison
    assert "is not a notebook" in found.code[0].note
    assert [metric.name for metric in found.metrics] == ["auc"]


def test_artifacts_out_of_reach_do_not_hide_the_rest(project):
    client = connect().client
    client.create_experiment("remote", artifact_location="nowhere://bucket")
    experiment = client.get_experiment_by_name("remote").experiment_id
    ids = [client.create_run(experiment).info.run_id for _ in range(2)]
    for value, run_id in enumerate(ids):
        client.log_metric(run_id, "auc", value)
    found = nm.compare(*ids).comparison
    assert [metric.name for metric in found.metrics] == ["auc"]
    assert "nowhere://bucket" in found.code[0].note
    assert found.notes


def test_data_is_compared_by_digest_size_and_columns(project):
    frames = {
        "same": (X, X),
        "rows": (X, X[:2]),
        "values": (X, X + 1),
        "columns": (X, X.assign(age=X["age"] * 1.5, zip="1").drop(columns="income")),
        "gone": (X, None),
    }
    ids = []
    for side in range(2):
        with nm.track("it") as run:
            for name, pair in frames.items():
                if pair[side] is not None:
                    run.log_dataset(pair[side], name=name)
        ids.append(run.run_id)
    view = nm.compare(*ids)
    found = {each.name: each for each in view.comparison.datasets}
    assert [each.name for each in view.comparison.equal_datasets] == ["same"]
    assert set(found) == {"rows", "values", "columns", "gone"}
    assert [each.n_rows for each in found["rows"].versions] == [3, 2]
    assert found["rows"].columns == found["values"].columns == ()
    assert found["columns"].columns == (
        Difference(name="age", values=("long", "double")),
        Difference(name="income", values=("double", None)),
        Difference(name="zip", values=(None, "string")),
    )
    assert found["gone"].versions[1] is None
    assert re.search(r"^rows +[0-9a-f]{8} 3 x 2 +[0-9a-f]{8} 2 x 2$", str(view), re.M)
    assert "values: the same size and columns." in str(view)
    assert "rows: the same" not in str(view)


def test_data_of_one_name_is_paired_by_its_context(project):
    ids = []
    for change in (0, 1):
        with nm.track("it") as run:
            run.log_dataset(X, name="X", context="training")
            run.log_dataset(X[:2] + change, name="X", context="testing")
        ids.append(run.run_id)
    found = nm.compare(*ids).comparison
    assert [each.context for each in found.equal_datasets] == ["training"]
    (changed,) = found.datasets
    assert [each.context for each in changed.versions] == ["testing", "testing"]


def test_packages_that_came_went_or_changed(project):
    a = _run(environment__txt=b"numpy==1.0\nold==1\nScikit_Learn==1.6\n")
    b = _run(environment__txt=b"numpy==2.0\nnew==3\nscikit-learn==1.6\n")
    found = nm.compare(a, b).comparison
    assert found.packages.items == (
        Difference(name="new", values=(None, "3")),
        Difference(name="numpy", values=("1.0", "2.0")),
        Difference(name="old", values=("1", None)),
    )
    assert found.packages.equal == {"scikit-learn": "1.6"}


def test_facts_are_the_users_and_not_the_book_keeping(project):
    a = _run(tags={"team": "risk", "same": "1", "mlflow.note.content": "first"})
    with pytest.raises(ZeroDivisionError), nm.track("b", tags={"same": "1"}) as b:
        _ = 1 / 0
    connect().client.set_tag(b.run_id, "mlflow.source.git.commit", "abc")
    found = {each.name: each.values for each in nm.compare(a, b).comparison.facts.items}
    assert found["status"] == ("FINISHED", "FAILED")
    assert found["tag team"] == ("risk", None)
    assert found["description"] == ("first", None)
    assert found["git commit"][1] == "abc"
    assert found["ended because"][1].startswith("ZeroDivisionError")
    assert set(found) == {
        *("status", "tag team", "description", "git commit", "ended because")
    }


def test_cost_is_reported_with_its_unit_and_is_no_difference_of_the_work(project):
    cost = {"nbmlops.cost.wall_s": "2.0", "nbmlops.cost.peak_rss_bytes": "200000000"}
    store = connect()
    a, b = _run(), _run()
    for key, value in cost.items():
        store.client.set_tag(a, key, value)
        store.client.set_tag(b, key, str(float(value) * 1.5))
    text = str(nm.compare(a, b))
    assert re.search(r"^wall +2 s +3 s +\+1 s \(\+50\.0%\)$", text, re.MULTILINE)
    assert re.search(r"^peak memory +200 MB +300 MB +\+100 MB ", text, re.MULTILINE)
    assert "differs: nothing but the cost" in text


def test_a_small_difference_is_not_reported_as_zero_percent(project):
    a, b = _run(metrics={"auc": 0.9}), _run(metrics={"auc": 0.90002})
    assert "+2e-05 (+0.002%)" in str(nm.compare(a, b))


def test_what_an_open_run_has_logged_is_there(project):
    with nm.track("a") as a, nm.track("b") as b:
        a.log(auc=0.5)
        b.log(auc=0.7)
        (metric,) = nm.compare(a, b).comparison.metrics
    assert [history.last for history in metric.histories] == [0.5, 0.7]


def test_runs_of_plain_mlflow_are_compared(project):
    mlflow.set_tracking_uri(connect().uri)
    mlflow.set_experiment("plain")
    ids = []
    for C in (0.5, 1.0):
        with mlflow.start_run() as run:
            mlflow.log_params({"C": C, "solver": "lbfgs"})
            mlflow.log_input(mlflow.data.from_pandas(X * C, name="X"), "training")
            for step in range(3):
                mlflow.log_metric("loss", C / (step + 1), step=step)
        ids.append(run.info.run_id)
    view = nm.compare(*ids)
    found = view.comparison
    assert found.params.items == (Difference(name="C", values=("0.5", "1.0")),)
    assert [metric.name for metric in found.metrics] == ["loss"]
    (data,) = found.datasets
    assert [each.n_rows for each in data.versions] == [3, 3]
    assert found.code[0].note == f"No code recorded for run {ids[0][:8]}."
    assert found.notes == (
        f"No environment recorded for run {ids[0][:8]}, {ids[1][:8]}.",
    )
    assert [each.name for each in found.cost.items] == ["wall_s"]
    assert found.facts.equal["experiment"] == "plain"
    assert nm.compare("latest", ids[0], experiment="plain").comparison.runs


def test_more_than_two_runs_are_held_against_the_first(project):
    cells = [_notebook("a = 1"), _notebook("a = 1"), _notebook("a = 2")]
    ids = [
        _run(str(n), params={"C": n}, metrics={"auc": n}, replay__ipynb=content)
        for n, content in enumerate(cells)
    ]
    view = nm.compare(*ids)
    assert [code.is_equal for code in view.comparison.code] == [True, False]
    text = str(view)
    assert re.search(r"^params +A +B +C$", text, re.MULTILINE)
    assert re.search(r"^auc +0 +1 +2$", text, re.MULTILINE)
    assert "code, A to C" in text
    assert "code, A to B" not in text
    assert "equal: code" not in text


def test_frame_holds_params_and_metrics_equal_ones_included(project):
    a = _run(params={"C": 1, "seed": 0}, curves={"loss": [1.0, 0.5, 0.7]})
    b = _run(params={"C": 2, "seed": 0}, metrics={"auc": 0.5})
    frame = nm.compare(a, b).frame()
    assert list(frame.columns) == ["kind", "name", "is_equal", a, b]
    assert frame.values.tolist() == [
        ["param", "C", False, "1", "2"],
        ["metric", "auc", False, None, 0.5],
        ["best", "auc", False, None, 0.5],
        ["metric", "loss", False, 0.7, None],
        ["best", "loss", False, 0.5, None],
        ["param", "seed", True, "0", "0"],
    ]


@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_few_or_too_many_runs_are_refused_before_anything_is_read(project, count):
    with pytest.raises(UsageError, match="takes 2 to 8 runs") as caught:
        nm.compare(*["latest"] * count)
    assert "%compare" in caught.value.fix
    assert not (project / ".nbmlops" / "mlflow.db").exists()


def test_what_is_no_pair_of_runs_is_refused(project):
    a = _run(metrics={"auc": 1.0})
    with pytest.raises(UsageError, match=f"'latest' is run {a[:8]}, which is named"):
        nm.compare(a, "latest")
    with pytest.raises(NotFoundError, match="No run"):
        nm.compare(a, "0" * 32)
    with pytest.raises(UsageError, match="'zz' is not a run"):
        nm.compare(a, "zz")
    with pytest.raises(UsageError, match="3 is not a run"):
        nm.compare(a, 3)


class _Reader(HTMLParser):
    """Collects the elements and attributes of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.names, self.open = set(), set(), []
        self.sources = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}
        self.sources += [value for name, value in attrs if name == "src"]
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_text_of_users_is_escaped_wherever_it_is_shown(project):
    store, ids = connect(), []
    for side in range(2):
        with nm.track(f"{_EVIL}", tags={"team": f"{_EVIL}{side}"}) as run:
            frame = pd.DataFrame({f"{_EVIL}{side}": [1]})
            run.log_dataset(frame, name=_EVIL, context=_EVIL)
            run.log_dataset(X + side, name=f"X {_EVIL}")
        cells = _notebook(f"print('{_EVIL}{side}')")
        artifacts.log_bytes(store, run.run_id, cells, "nbmlops/replay.ipynb")
        packages = f"{_EVIL}=={_EVIL}{side}".encode()
        artifacts.log_bytes(store, run.run_id, packages, "nbmlops/environment.txt")
        store.client.log_param(run.run_id, "evil", f"{_EVIL}{side}")
        store.client.log_param(run.run_id, "alike", _EVIL)
        store.client.set_tag(run.run_id, "nbmlops.cost.x_s", f"{_EVIL}{side}")
        ids.append(run.run_id)
    _write_names(store, ids)
    page = nm.compare(*ids)._repr_html_()
    found = _Reader(page)
    assert found.open == []
    assert found.tags == {
        *("div", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"),
        *("img", "figure", "figcaption", "span", "pre"),
    }
    assert not {name for name in found.names if name.startswith("on")}
    assert len(found.sources) == 3
    assert all(each.startswith("data:image/svg+xml,") for each in found.sources)
    # Each place that shows it: name of run, tag, metric, param, code, data, package.
    assert page.count("&lt;script&gt;") >= 14


def _write_names(store, ids):
    """Give the runs a metric, a param and a tag with names MLflow's clients refuse."""
    from mlflow.store.tracking.dbmodels.models import (
        SqlLatestMetric,
        SqlMetric,
        SqlParam,
        SqlTag,
    )

    tracking = store.client._tracking_client.store
    with tracking.ManagedSessionMaker(read_only=False) as session:
        for side, run_id in enumerate(ids):
            own = {"key": f"m{_EVIL}", "run_uuid": run_id, "is_nan": False}
            for step in range(2):
                entry = {"value": step + side, "timestamp": step, "step": step}
                session.add(SqlMetric(**own, **entry))
            session.add(SqlLatestMetric(**own, **entry))
            param = {"key": f"p{_EVIL}", "value": str(side)}
            session.add(SqlParam(**param, run_uuid=run_id))
            session.add(SqlTag(**param, run_uuid=run_id))


def test_what_is_shown_is_small_whatever_the_runs_hold(project):
    from mlflow.entities import Metric, Param

    store, ids = connect(), []
    for side in range(2):
        columns = [f"column {n} of {side}" for n in range(300)]
        with nm.track("big " + "x" * 240, tags={"t": "y" * 4000 + str(side)}) as run:
            run.log_dataset(
                pd.DataFrame(columns=columns, dtype="int" if side else "str")
            )
        params = [Param(f"p{n}", "v" * 5000 + str(side)) for n in range(300)]
        metrics = [
            Metric(f"m{n}{'k' * 200}", float(step * side + n), step, step)
            for n in range(60)
            for step in range(200)
        ]
        for start in range(0, len(params), 100):
            store.client.log_batch(run.run_id, params=params[start : start + 100])
        for start in range(0, len(metrics), 1000):
            store.client.log_batch(run.run_id, metrics=metrics[start : start + 1000])
        code = [f"x = {side}\n" + f"y{side} = {'1' * 500}\n" * 50 for _ in range(30)]
        cells = _notebook(*code)
        artifacts.log_bytes(store, run.run_id, cells, "nbmlops/replay.ipynb")
        packages = "\n".join(f"p{n}=={side}" for n in range(900)).encode()
        artifacts.log_bytes(store, run.run_id, packages, "nbmlops/environment.txt")
        ids.append(run.run_id)
    started = time.monotonic()
    view = nm.compare(*ids)
    page, text = view._repr_html_(), str(view)
    assert time.monotonic() - started < 30
    assert len(page) < 160_000
    assert len(text) < 50_000
    assert max(map(len, text.splitlines())) < 500
    assert "(5,001 characters)" in page
    assert "... and 270 more params in .frame()" in text
    assert len(view.comparison.params.items) == 300
    assert len(view.frame()) == 300 + 2 * 60


def test_value_that_is_cut_still_shows_where_it_differs(project):
    a = _run(params={"p": "x" * 3000 + "AAA" + "x" * 2000})
    b = _run(params={"p": "x" * 3000 + "BBB" + "x" * 2000})
    text = str(nm.compare(a, b))
    assert "AAA" in text
    assert "BBB" in text
    assert "(5,003 characters)" in nm.compare(a, b)._repr_html_()
