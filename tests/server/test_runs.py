"""``runs``."""

from nbmlops.config import load_settings
from nbmlops.store import connect
from nbmlops.store.runs.runs import create_run, log_values

NOTEBOOK = "notebooks/credit study.ipynb"


def names(page):
    return [run["name"] for run in page["items"]]


async def test_runs_come_newest_first(call, recorded, keep_sample):
    status, page = await call("GET", "runs")
    assert status == 200
    assert names(page) == ["no model", "boosting", "baseline"]
    assert page["items"][0]["model_id"] is None
    assert page["items"][1]["experiment"] == "main"
    keep_sample("runs", page)


async def test_runs_are_filtered_ordered_and_paged(call, recorded):
    query = {
        "experiment": "main",
        "filter": "metrics.roc_auc > 0.5",
        "order_by": "metrics.roc_auc ASC",
        "limit": 1,
    }
    _, first = await call("GET", "runs", **query)
    _, second = await call("GET", "runs", **query, page_token=first["next_page_token"])
    assert names(first) + names(second) == ["baseline", "boosting"]


async def test_the_runs_of_a_notebook_that_could_be_registered(
    call, recorded, record, keep_sample
):
    record("elsewhere", source="other.ipynb")
    query = {"notebook": NOTEBOOK, "path": NOTEBOOK, "model": "credit"}
    _, found = await call("GET", "runs/candidates", **query)
    assert [run["name"] for run in found["runs"]] == ["boosting", "baseline"]
    assert found["newest"] == recorded.second.run_id
    query |= {"notebook": "never run.ipynb"}
    _, nothing = await call("GET", "runs/candidates", **query)
    assert (nothing["runs"], nothing["newest"]) == ([], None)
    status, error = await call("GET", "runs/candidates")
    assert (status, error["fix"]) == (400, "Send notebook, its path.")


async def test_runs_of_a_notebook_or_with_a_model(call, recorded, record):
    record("elsewhere", source="other.ipynb")
    _, of_notebook = await call("GET", "runs", notebook=NOTEBOOK)
    assert names(of_notebook) == ["no model", "boosting", "baseline"]
    _, with_model = await call("GET", "runs", with_model="true")
    assert names(with_model) == ["elsewhere", "boosting", "baseline"]
    _, both = await call(
        "GET", "runs", with_model="true", notebook=NOTEBOOK, filter="params.C = '1.0'"
    )
    assert names(both) == ["boosting", "baseline"]


async def test_one_run(call, recorded, keep_sample):
    status, run = await call("GET", f"runs/{recorded.second.run_id}")
    assert (status, run["run_id"]) == (200, recorded.second.run_id)
    assert run["metrics"]["log_loss"] == "Infinity"
    keep_sample("run", run)


async def test_a_run_says_which_cells_a_run_from_the_top_would_treat_differently(
    call, recorded
):
    said = "a run from the top would treat [3], [7] differently"
    _, page = await call("GET", "runs")
    assert [run["order_note"] for run in page["items"]] == [None, said, None]
    _, page = await call("GET", "runs", columns="roc_auc")
    assert [run["order_note"] for run in page["items"]] == [None, said, None]
    _, page = await call("GET", "models/credit/versions")
    assert [version["order_note"] for version in page["items"]] == [said, None]


async def test_the_executed_notebook_of_a_step(call, recorded, keep_sample, jp_fetch):
    route = f"runs/{recorded.plain.run_id}/notebook"
    status, notebook = await call("GET", route)
    assert (status, notebook["nbformat"]) == (200, 4)
    response = await jp_fetch("nbmlops/api", route)
    assert response.headers["Content-Type"] == "application/x-ipynb+json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


REFUSED = [
    ("runs", {"experiment": "mian"}, 404, "Did you mean 'main'?"),
    ("runs", {"filter": "nonsense"}, 400, "Invalid"),
    ("runs", {"order_by": "nonsense"}, 400, "Invalid"),
    ("runs", {"with_model": "yes"}, 400, "with_model is 'yes'"),
    ("runs", {"notebook": "../x.ipynb"}, 400, "'../x.ipynb'"),
    (f"runs/{'0' * 32}", {}, 404, "No run"),
    ("runs/latest", {}, 404, "No run 'latest'"),
    (f"runs/{'0' * 32}/notebook", {}, 404, "No run"),
]


async def test_what_cannot_be_found_is_reported(call, recorded):
    for route, query, status, reported in REFUSED:
        answered, error = await call("GET", route, **query)
        assert answered == status, (route, error)
        assert reported in error["message"], route


async def test_a_run_without_a_notebook_says_so(call, recorded):
    status, error = await call("GET", f"runs/{recorded.first.run_id}/notebook")
    assert (status, error["error"]) == (404, "NotFoundError")
    assert "notebook.ipynb" in error["message"]


async def test_older_attempts_are_left_out_unless_asked_for(call, recorded, project):
    store = connect(load_settings(project))
    for attempt in ("1", "2"):
        tags = {"nbmlops.attempt_of": "cell", "nbmlops.attempt": attempt}
        run_id = create_run(store, name=f"a{attempt}", experiment="main", tags=tags)
        log_values(store, run_id, metrics={"auc": 0.5, "loss": 1.0})
    _, folded = await call("GET", "runs", experiment="main", limit=2)
    assert names(folded) == ["a2"]
    token = folded["next_page_token"]
    _, rest = await call("GET", "runs", experiment="main", limit=2, page_token=token)
    assert names(rest) == ["no model", "boosting"]
    _, whole = await call("GET", "runs", filter="metrics.auc = 0.5", all="true")
    assert names(whole) == ["a2", "a1"]
    query = {"all": "true", "columns": "auc, tags.nbmlops.attempt", "limit": 1}
    (only,) = (await call("GET", "runs", **query))[1]["items"]
    assert (only["metrics"], only["params"]) == ({"auc": 0.5}, {})
    assert only["tags"] == {"nbmlops.attempt": "2"}
    status, error = await call("GET", "runs", columns="auc,,")
    assert (status, error["error"]) == (400, "UsageError")


async def test_two_runs_are_compared(call, recorded, keep_sample):
    a, b = recorded.first.run_id, recorded.second.run_id
    status, found = await call("GET", "runs/compare", a=a, b=b)
    assert (status, [run["run_id"] for run in found["runs"]]) == (200, [a, b])
    last = {
        metric["name"]: [each and each["last"] for each in metric["histories"]]
        for metric in found["metrics"]
    }
    assert last == {"roc_auc": [0.79, 0.83], "log_loss": [None, "Infinity"]}
    changing = {"cost": {"items": [], "equal": {}}, "code": []}  # at every run
    keep_sample("comparison", found | changing)
    for query in ({"a": a}, {"a": a, "b": a}):
        status, error = await call("GET", "runs/compare", **query)
        assert (status, error["error"]) == (400, "UsageError")
    status, _ = await call("GET", "runs/compare", a=a, b="0" * 32)
    assert status == 404
