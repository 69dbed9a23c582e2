"""Rows of a table of runs: read from the database's tables, and as from a server."""

import math
from itertools import pairwise

import numpy as np
import pytest

import nbmlops as nm
from nbmlops.entities import parse_columns
from nbmlops.errors import UsageError
from nbmlops.store import connect, experiments
from nbmlops.store.runs import queries, runs
from nbmlops.store.runs.api_reader import ApiReader
from nbmlops.store.runs.fields import ATTEMPT, ATTEMPT_OF, RunQuery
from nbmlops.store.runs.listing import RunListing, newest_attempt, newest_attempts
from nbmlops.store.runs.queries import experiment_ids, list_runs
from nbmlops.store.runs.table_reader import TableReader

READERS = [TableReader, ApiReader]
INF = math.inf


@pytest.fixture(params=READERS, ids=["tables", "api"])
def reader(request, monkeypatch):
    """Have listings read the one way or the other."""
    if request.param is ApiReader:
        for module in (queries, experiments):
            monkeypatch.setattr(module, "has_tables", lambda store: False)
    return request.param


def make(store, name, *, attempt_of=None, attempt=1, parent=None, **metrics):
    tags = {}
    if attempt_of:
        tags = {ATTEMPT_OF: attempt_of, ATTEMPT: str(attempt)}
    if parent:
        tags["mlflow.parentRunId"] = parent
    run_id = runs.create_run(store, name=name, experiment="my project", tags=tags)
    runs.log_values(store, run_id, metrics=metrics)
    runs.end_run(store, run_id, "FINISHED")
    return run_id


def listing(store, *, size=20, columns=None, **query):
    ids = tuple(experiment_ids(store, "my project"))
    asked = parse_columns(columns)
    query = RunQuery(experiment_ids=ids, **query)
    return RunListing(store, query, size=size, columns=asked)


def names(page):
    return [run.name for run in page]


def pages(found):
    read, number = [], 0
    while True:
        page = found.page(number)
        read.append(names(page))
        if page.next_page_token is None:
            return read
        number = int(page.next_page_token)


def test_the_newest_attempt_stands_for_its_group_and_plain_runs_for_themselves(
    store, reader
):
    make(store, "plain")
    for attempt in (1, 2, 3):
        make(store, f"a{attempt}", attempt_of="a", attempt=attempt)
        make(store, f"b{attempt}", attempt_of="b", attempt=attempt)
    make(store, "once", attempt_of="c")
    found = listing(store)
    page = found.page()
    assert names(page) == ["once", "b3", "a3", "plain"]
    behind = found.folded(page.items)
    assert [names(behind[run.run_id].attempts) for run in page.items[1:3]] == [
        ["b2", "b1"],
        ["a2", "a1"],
    ]
    assert {run.name for run in page if run.run_id in behind} == {"a3", "b3"}
    assert behind[page.items[1].run_id].summary == ("3 attempts",)
    everything = pages(listing(store, is_folded=False))
    assert everything == [["once", "b3", "a3", "b2", "a2", "b1", "a1", "plain"]]


def test_attempts_long_ago_are_found_when_the_page_does_not_reach_them(store, reader):
    make(store, "old", attempt_of="a", attempt=1)
    for number in range(reader_chunk(reader) + 10):
        runs.create_run(store, name=f"n{number}", experiment="my project")
    make(store, "new", attempt_of="a", attempt=2)
    found = listing(store, size=3)
    page = found.page()
    assert names(page)[0] == "new"
    (behind,) = found.folded(page.items).values()
    assert names(behind.attempts) == ["old"]


def reader_chunk(reader):
    return {TableReader: 200, ApiReader: 50}[reader]


def test_ordered_by_a_metric_the_newest_attempt_still_stands_for_the_group(
    store, reader
):
    make(store, "a1", attempt_of="a", attempt=1, auc=0.99)
    make(store, "a2", attempt_of="a", attempt=2, auc=0.5)
    make(store, "b1", attempt_of="b", attempt=1, auc=0.1)
    make(store, "b2", attempt_of="b", attempt=2, auc=0.7)
    make(store, "plain", auc=0.6)
    found = listing(store, order_by="metrics.`auc` DESC")
    page = found.page()
    assert names(page) == ["b2", "plain", "a2"]
    behind = found.folded(page.items)
    assert names(behind[page.items[2].run_id].attempts) == ["a1"]


def test_a_filter_finds_older_attempts_too_and_shows_the_newest_it_finds(store, reader):
    for attempt, auc in enumerate((0.7, 0.9, 0.2), 1):
        make(store, f"a{attempt}", attempt_of="a", attempt=attempt, auc=auc)
    found = listing(store, filter="metrics.auc > 0.5")
    page = found.page()
    assert names(page) == ["a2"]
    (behind,) = found.folded(page.items).values()
    assert names(behind.attempts) == ["a1"]


def test_children_are_behind_their_parent_unless_filtered_or_ordered(store, reader):
    parent = make(store, "parent", auc=0.1)
    for number in range(7):
        make(store, f"child{number}", parent=parent, auc=number)
    make(store, "orphan", parent="0" * 32)
    store.client.delete_run(gone := make(store, "gone"))
    make(store, "of gone", parent=gone)
    found = listing(store)
    page = found.page()
    assert names(page) == ["of gone", "orphan", "parent"]
    (behind,) = found.folded(page.items).values()
    assert behind.summary == ("7 child runs",)
    assert names(behind.children) == [f"child{n}" for n in (6, 5, 4, 3, 2)]
    best = listing(store, order_by="metrics.auc DESC").page()
    assert names(best)[:2] == ["child6", "child5"]
    assert names(listing(store, filter="metrics.auc = 3").page()) == ["child3"]


@pytest.mark.parametrize("order", ["ASC", "DESC"])
def test_what_is_not_finite_or_missing_comes_last(store, reader, order):
    values = {"nan": math.nan, "inf": INF, "neg": -INF, "one": 1.0, "two": 2.0}
    for name, value in values.items():
        make(store, name, m=value)
    make(store, "none")
    page = listing(store, order_by=f"metrics.m {order}").page()
    first, endless = ["two", "one"], ["inf", "neg"]
    if order == "ASC":
        first, endless = first[::-1], endless[::-1]
    assert names(page) == [*first, *endless, "nan", "none"]
    assert page.items[2].metrics["m"] in (INF, -INF)
    assert math.isnan(page.items[4].metrics["m"])


def test_params_that_are_numbers_are_ordered_as_numbers(store):
    for value in ("10", "9", "0.5", "auto", "1e2", "-3"):
        run_id = make(store, value)
        runs.log_values(store, run_id, params={"C": value})
    make(store, "none")
    page = listing(store, order_by="params.C ASC").page()
    assert names(page) == ["-3", "0.5", "9", "10", "1e2", "auto", "none"]


def test_pages_hold_each_row_once_and_end(store, reader):
    made = [make(store, f"r{number}") for number in range(5)]
    assert pages(listing(store, size=2)) == [["r4", "r3"], ["r2", "r1"], ["r0"]]
    assert pages(listing(store, size=5)) == [["r4", "r3", "r2", "r1", "r0"]]
    found = listing(store, size=2)
    found.page(0)
    make(store, "begun meanwhile")
    assert names(found.page(1)) == ["r2", "r1"]
    assert names(found.page(0)) == ["r4", "r3"]
    assert names(found.page(9)) == []
    assert len(made) == 5
    assert pages(listing(store, filter="metrics.x > 1")) == [[]]


def test_only_the_asked_columns_are_read(store, reader):
    run_id = make(store, "it", auc=0.5, loss=1.0)
    runs.log_values(store, run_id, params={"C": 1, "auc": "x"}, tags={"team": "risk"})
    (bare,) = listing(store, columns="auc,team").page()
    assert (bare.metrics, bare.params) == ({"auc": 0.5}, {"auc": "x"})
    assert bare.tags == {"team": "risk"}
    (exact,) = listing(store, columns=["metrics.auc"]).page()
    assert (exact.metrics, exact.params, exact.tags) == ({"auc": 0.5}, {}, {})
    (whole,) = listing(store).page()
    (as_listed,) = list_runs(store)
    assert whole == as_listed


def test_both_ways_of_reading_agree_with_mlflow_on_filters_and_orders(store):
    generator = np.random.default_rng(7)
    for number in range(40):
        run_id = make(store, f"r{number}", a=generator.random(), b=number % 5)
        params = {"p": str(generator.choice([1, 2])), "q": "x" * (number % 3 + 1)}
        runs.log_values(store, run_id, params=params, tags={"t": params["p"]})
    for filter in (
        "",
        "metrics.a > 0.3 and params.p = '1'",
        "metrics.b != 3 and tags.t = '2' and metrics.a < 0.9",
        "params.q LIKE 'xx%'",
        "tags.missing IS NULL",
        "attributes.run_name ILIKE 'R1%'",
        "attributes.status = 'FINISHED' and start_time > 0",
    ):
        for order in (None, "metrics.a ASC", "metrics.b DESC", "params.q DESC"):
            theirs = list_runs(store, filter=filter, order_by=order, limit=50)
            for kind in READERS:
                ids = tuple(experiment_ids(store, "my project"))
                query = RunQuery(experiment_ids=ids, filter=filter, order_by=order)
                heads = [head for part in kind(store, query).heads() for head in part]
                read = [head.run_id for head in heads]
                assert read == [run.run_id for run in theirs], (kind, filter, order)


def test_a_filter_or_order_that_mlflow_cannot_read_is_a_usage_error(store, reader):
    make(store, "it")
    for query in ({"filter": "auc is high"}, {"order_by": "loudly"}):
        with pytest.raises(UsageError):
            listing(store, **query).page()


def test_a_page_stops_when_too_many_runs_are_folded(store, reader, monkeypatch):
    monkeypatch.setattr(reader, "scan_limit", 20)
    make(store, "first")
    for attempt in range(1, 31):
        make(store, f"a{attempt}", attempt_of="a", attempt=attempt)
    found = listing(store, size=5)
    assert names(found.page(0)) == ["a30"]
    assert found.is_cut
    assert names(found.page(1)) == ["first"]
    assert not found.is_cut


def long_history(store, run_id, name, steps, value):
    from mlflow.entities import Metric

    points = [Metric(name, value(step), 1_700_000_000_000, step) for step in steps]
    for start in range(0, len(points), 1000):
        store.client.log_batch(run_id, metrics=points[start : start + 1000])


def test_curves_are_thinned_and_keep_their_ends(store):
    run_id = make(store, "it", final=1.0)
    long_history(store, run_id, "loss", range(100, 5100), lambda step: 1 / step)
    values = {0: 1.0, 5: math.nan, 7: INF, 9: 3.0}
    long_history(store, run_id, "odd", values, values.get)
    found = listing(store)
    page = found.page()
    curves = found.curves(page.items, ["loss", "odd", "final"], n_points=10)
    assert set(curves) == {(run_id, "loss"), (run_id, "odd")}
    loss = curves[run_id, "loss"]
    assert (loss[0], loss[-1]) == ((100, 0.01), (5099, 1 / 5099))
    assert len(loss) == 10
    assert all(value == 1 / step for step, value in loss)
    gaps = [b - a for (a, _), (b, _) in pairwise(loss)]
    assert max(gaps) - min(gaps) <= 1
    assert [step for step, _ in curves[run_id, "odd"]] == [0, 5, 7, 9]
    assert math.isnan(curves[run_id, "odd"][1][1])
    assert curves[run_id, "odd"][2] == (7, INF)


def test_attempts_of_a_page_of_runs_are_left_out(store, reader):
    for attempt in (1, 2):
        make(store, f"a{attempt}", attempt_of="a", attempt=attempt)
    make(store, "plain")
    page = list_runs(store)
    ids = tuple(experiment_ids(store, "my project"))
    query = RunQuery(experiment_ids=ids)
    assert names(newest_attempts(store, page.items, query)) == ["plain", "a2"]


@pytest.mark.server
def test_a_server_gives_the_same_table(project, monkeypatch, mlflow_server):
    monkeypatch.setenv("NBMLOPS_EXPERIMENT", "my project")
    store = connect()
    parent = make(store, "parent")
    make(store, "child", parent=parent, auc=0.95)
    for attempt, auc in ((1, 0.9), (2, 0.6)):
        run_id = make(store, f"a{attempt}", attempt_of="a", attempt=attempt, auc=auc)
    long_history(store, run_id, "loss", range(0, 500, 5), lambda step: 500.0 - step)
    make(store, "endless", auc=INF)
    table = nm.runs()
    assert names(table.page) == ["endless", "a2", "parent"]
    html = table._repr_html_()
    assert html.count("<svg") == 1
    assert "2 attempts" in html
    assert "1 child run" in html
    assert names(nm.runs(by="auc").page) == ["child", "a2", "endless", "parent"]
    frame = nm.runs(columns="auc", all=True, limit=1000).frame()
    assert list(frame.columns) == ["run_id", "name", "metrics.auc"]
    assert len(frame) == 5


def test_the_newest_attempt_is_found_with_what_it_was_made_of(store, reader):
    for attempt in (1, 2):
        run_id = make(store, f"a{attempt}", attempt_of="it's", attempt=attempt, loss=1)
        runs.log_values(store, run_id, params={"C": attempt})
    make(store, "b", attempt_of="b")
    (experiment_id,) = experiment_ids(store, "my project")
    found = newest_attempt(store, "it's", experiment_id=experiment_id)
    assert (found.tags[ATTEMPT], found.params) == ("2", {"C": "2"})
    assert newest_attempt(store, "c", experiment_id=experiment_id) is None
    store.client.delete_run(run_id)
    found = newest_attempt(store, "it's", experiment_id=experiment_id)
    assert found.tags[ATTEMPT] == "1"
