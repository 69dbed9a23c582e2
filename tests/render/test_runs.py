"""What a table of runs shows: text, HTML, frames."""

import re
from html.parser import HTMLParser

import pandas as pd
import pytest

import nbmlops as nm
from nbmlops.entities import Order
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.store.runs import runs as store_runs

HOSTILE = "<img src=x onerror='window.hacked=1'>"


def make(store, name="it", *, params=None, tags=None, **metrics):
    run_id = store_runs.create_run(
        store, name=name, experiment="my project", tags=tags or {}
    )
    store_runs.log_values(store, run_id, metrics=metrics, params=params)
    store_runs.end_run(store, run_id, "FINISHED")
    return run_id


class Parsed(HTMLParser):
    """The elements, attributes and texts of some HTML."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.attributes, self.texts = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


def test_what_never_differs_is_shown_once(store):
    for C in (1, 2, 3):
        make(store, params={"C": C, "solver": "lbfgs", "seed": 7}, auc=C / 10)
    table = nm.runs()
    titles = [table.columns.title(column) for column in table.columns.shown]
    assert titles == ["run", "name", "auc", "C", "started"]
    line = "The same in all 3: status FINISHED, seed 7, solver lbfgs."
    assert line in table._repr_html_()
    assert repr(table).splitlines()[-1] == line


def test_one_run_shows_all_it_has_and_a_missing_value_differs(store):
    make(store, params={"C": 1}, auc=0.5)
    assert "C" in [column.name for column in nm.runs().columns.shown]
    make(store, params={"C": 1})
    shown = [column.name for column in nm.runs().columns.shown]
    assert ("auc" in shown, "C" in shown) == (True, False)


def test_the_metric_that_orders_is_shown_though_it_never_differs(store):
    for _ in range(2):
        make(store, auc=0.5, n=1)
    shown = [column.name for column in nm.runs(by="auc").columns.shown]
    assert shown == ["run", "name", "auc", "started"]


@pytest.mark.parametrize("columns", [None, "auc"])
def test_a_run_that_was_out_of_order_is_marked_by_its_name(store, columns):
    make(store, "tidy", tags=Order().tags(), auc=0.4)
    make(store, "odd", tags=Order(cells=(3, 7)).tags(), auc=0.5)
    table = nm.runs(columns=columns)
    assert repr(table).count("out of order") == 1
    assert "odd (out of order)" in repr(table)
    shown = Parsed(table._repr_html_())
    assert shown.texts.count("out of order") == 1
    note = "a run from the top would treat [3], [7] differently"
    assert ("title", note) in shown.attributes


def test_columns_beyond_what_fits_are_named(store):
    for value in (1.0, 2.0):
        make(store, **{f"m{n:02}": value for n in range(30)})
    table = nm.runs()
    text, html = repr(table), table._repr_html_()
    n_shown = [text.splitlines()[0].count(" m"), html.count(">m")]
    assert 8 < n_shown[0] < n_shown[1] < 16
    for shown, n in zip((" ".join(text.split()), html), n_shown, strict=True):
        assert f"Also differing: m{n:02}, m{n + 1:02}, " in shown
        assert "; ask with --columns A,B." in shown


def test_asked_columns_are_shown_as_asked_and_a_wrong_one_names_the_nearest(store):
    make(store, params={"C": 1, "x": 2}, tags={"team": "risk"}, x=0.5, accuracy=0.9)
    table = nm.runs(columns="team, x,duration,acuracy")
    titles = [table.columns.title(column) for column in table.columns.shown]
    assert titles == ["run", "name", "team", "metrics.x", "params.x", "duration"]
    assert "None of these runs has 'acuracy'. Did you mean 'accuracy'?" in repr(table)
    for wrong in ("", "auc,,C", "attributes.colour"):
        with pytest.raises(UsageError, match="is no column"):
            nm.runs(columns=wrong)


@pytest.mark.parametrize(
    ("metric", "asc", "first"),
    [("loss", None, 1), ("loss", True, 1), ("loss", False, 3),
     ("auc", None, 3), ("auc", True, 1), ("area", None, 3), ("area", True, 1)],
)  # fmt: skip
def test_the_best_is_first_unless_asc_says_otherwise(store, metric, asc, first):
    for value in (2, 1, 3):
        make(store, **{metric: value})
    table = nm.runs(by=metric, asc=asc)
    assert table.page.items[0].metrics[metric] == first
    is_unknown = metric == "area" and asc is None
    assert ("with --asc the smallest" in repr(table)) == is_unknown


def test_an_unknown_metric_to_order_by_names_the_nearest(store):
    make(store, accuracy=0.9)
    with pytest.raises(NotFoundError, match="Did you mean 'accuracy'"):
        nm.runs(by="acuracy")


@pytest.mark.parametrize("limit", [0, -1, 100_001])
def test_a_limit_that_cannot_be_is_refused(store, limit):
    with pytest.raises(UsageError, match="The limit"):
        nm.runs(limit=limit)


def test_hostile_texts_stay_texts(store):
    parent = make(store, HOSTILE, params={"p": HOSTILE * 20}, tags={"t": HOSTILE})
    make(store, HOSTILE, params={"p": "y"}, tags={"mlflow.parentRunId": parent})
    attempts = {"nbmlops.attempt_of": HOSTILE, "nbmlops.attempt": HOSTILE}
    for _ in range(2):
        make(store, HOSTILE, params={"same": HOSTILE}, tags=attempts)
    for query in ({}, {"columns": "t,p,same"}, {"all": True}):
        page = Parsed(nm.runs(**query)._repr_html_())
        assert HOSTILE in "".join(page.texts)
        assert {"img", "script"}.isdisjoint(page.elements)
        assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_html_of_twenty_long_runs_is_small_and_without_script(store):
    from mlflow.entities import Metric

    for number in range(20):
        texts = {f"p{n}": f"{number}" + "long text " * 50 for n in range(8)}
        tags = Order(cells=(number, 99)).tags()
        run_id = make(store, f"run {number} " + "x" * 100, params=texts, tags=tags)
        for name in range(6):
            points = [
                Metric(f"m{name}", number + 1 / (step + 1), 1, step)
                for step in range(150)
            ]
            store.client.log_batch(run_id, metrics=points)
    names = [f"m{n}" for n in range(6)]
    for columns, n_curves in ((None, 20), (names, 120)):
        html = nm.runs(columns=columns)._repr_html_()
        assert html.count("<svg") == n_curves
        assert len(html.encode()) < 50_000
        assert "<script" not in html


def test_texts_stay_in_one_line_where_style_sheets_are_dropped(store):
    for number in range(2):
        make(store, f"run {number}", params={"note": f"a long note {number}"})
    html = re.sub("<style>.*?</style>", "", nm.runs()._repr_html_())
    cells = re.findall("<td([^>]*)>([^<]*)", html)
    assert all("nowrap" in styled for styled, text in cells if " " in text)
    assert sum(" " in text for _, text in cells) == 6


def test_older_attempts_and_children_unfold_below_the_name(store):
    for attempt, auc in ((1, 0.7), (2, 0.8), (3, 0.6)):
        tags = {"nbmlops.attempt_of": "g", "nbmlops.attempt": str(attempt)}
        newest = make(store, f"cell {attempt}", tags=tags, auc=auc)
    for n in range(7):
        make(store, f"fit {n}", tags={"mlflow.parentRunId": newest})
    table = nm.runs()
    html = table._repr_html_()
    assert re.findall("<summary>(.*?)</summary>", html) == [
        "3 attempts",
        "7 child runs",
    ]
    assert html.index("cell 2") < html.index("cell 1")
    assert "auc 0.8" in html
    assert "and 2 more: %runs --all" in html
    assert "cell 3 (3 attempts, 7 child runs)" in repr(table)
    assert len(nm.runs(all=True)) == 10


def test_frame_has_numbers_as_numbers_and_texts_as_they_were(store):
    for C, version in (("0.1", "1.10"), ("1", "1.9"), ("10", "2")):
        make(store, params={"C": C, "version": version, "odd": "nan"}, auc=float(C))
    frame = nm.runs(limit=2).frame()
    assert len(frame) == 2
    frame = nm.runs().frame()
    assert frame["params.C"].tolist() == [10.0, 1.0, 0.1]
    assert frame["params.version"].tolist() == ["2", "1.9", "1.10"]
    assert frame["params.odd"].tolist() == ["nan"] * 3
    assert frame["metrics.auc"].dtype == float
    assert isinstance(frame["started_at"].dtype, pd.DatetimeTZDtype)
    asked = nm.runs(columns="auc,duration,status").frame()
    assert list(asked.columns) == [
        "run_id",
        "name",
        "metrics.auc",
        "duration",
        "status",
    ]
    assert asked["duration"].dt.total_seconds().between(0, 600).all()


def test_no_runs_yet_is_a_hint_and_an_empty_frame(store):
    table = nm.runs()
    assert "begin with %%track" in repr(table)
    assert "begin with %%track" in table._repr_html_()
    assert list(table.frame().columns)[:2] == ["run_id", "name"]
    assert nm.runs(filter="metrics.auc > 3").frame().empty
