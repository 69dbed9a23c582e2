"""``models/{name}/versions/{version}``, and what its tab asks a run for."""

import pytest

import nbmlops as nm
from nbmlops.store import artifacts

PNG = b"\x89PNG\r\n\x1a\n"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
CELL = (
    '{"cell_type": "code", "id": "a", "metadata": {"nbmlops": {"execution_count": 4}},'
    ' "execution_count": null, "outputs": [], "source": "%s"}'
)
NOTEBOOK = '{"cells": [%s], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'


@pytest.fixture
def trained(store, record):
    """Return the runs of two versions, each with the cell that made it."""
    runs = [record(f"fit {n}", roc_auc=0.75 + n / 100) for n in (1, 2)]
    for n, run in enumerate(runs, start=1):
        content = (NOTEBOOK % (CELL % f"fit({n})")).encode()
        artifacts.log_bytes(store, run.run_id, content, "nbmlops/replay.ipynb")
        nm.register("credit", run=run, alias="champion", store=store)
    return runs


async def test_one_version_with_all_that_is_known(call, trained, keep_sample, project):
    (project / "notebooks/credit study.ipynb").write_text(NOTEBOOK % "")
    status, found = await call("GET", "models/credit/versions/2")
    assert (status, found["version"]["version"]) == (200, 2)
    assert found["champion"] is None
    assert found["run"]["run_id"] == trained[1].run_id
    assert found["cells"] == [4]
    assert found["has_notebook"]
    assert found["notebook"] == "notebooks/credit study.ipynb"
    assert [column["name"] for column in found["columns"]] == ["Age", "Income"]
    assert found["columns"][0]["low"] < found["columns"][0]["high"]
    keep_sample("version_detail", found)
    _, other = await call("GET", "models/credit/versions/1")
    assert other["champion"]["version"] == 2
    (metric,) = other["metrics"]
    assert (metric["is_better"], round(metric["change"], 6)) == (False, -0.01)


REFUSED = [
    ("models/credit/versions/99", {}, 404, "No version 99"),
    ("models/credit/versions/latest", {}, 404, "'latest' is no version"),
    ("models/credti/versions/1", {}, 404, "Did you mean 'credit'?"),
    ("runs/RUN/artifacts", {"file": "nbmlops/notebook.ipynb"}, 400, "no image"),
    ("runs/RUN/artifacts", {"file": ""}, 400, "no image"),
    ("runs/RUN/artifacts", {"file": "../../secret.png"}, 400, "no image"),
    ("runs/RUN/artifacts", {"file": "/etc/secret.png"}, 400, "no image"),
    ("runs/RUN/artifacts", {"file": "gone.png"}, 404, "no artifact"),
    ("runs/RUN/artifacts", {"file": "link.png"}, 400, "somewhere else"),
    ("runs/RUN/artifacts", {"file": "huge.png"}, 400, "too many to show"),
]


@pytest.fixture
def images(store, trained, tmp_path):
    """Give a run images of each kind, and what is none."""
    run_id = trained[0].run_id
    artifacts.log_bytes(store, run_id, PNG, "figures/roc.png")
    artifacts.log_bytes(store, run_id, SVG, "figures/a b.SVG")
    folder = artifacts.local_root(artifacts.location_of(store, run_id))
    (tmp_path / "secret.png").write_bytes(PNG)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    with (folder / "huge.png").open("wb") as file:
        file.truncate(10_000_001)
    return run_id


async def test_what_cannot_be_shown_is_refused(call, images):
    for route, query, status, reported in REFUSED:
        route = route.replace("RUN", images)
        answered, error = await call("GET", route, **query)
        assert (answered, error.get("error", "")[-5:]) == (status, "Error"), route
        assert reported in error["message"], route


@pytest.mark.parametrize(
    ("file", "kind", "content"),
    [
        ("figures/roc.png", "image/png", PNG),
        ("figures/a b.SVG", "image/svg+xml", SVG),
    ],
)
async def test_an_image_is_an_image_and_runs_nothing(
    jp_fetch, images, file, kind, content
):
    route = f"runs/{images}/artifacts"
    answer = await jp_fetch("nbmlops/api", route, params={"file": file})
    assert (answer.body, answer.headers["Content-Type"]) == (content, kind)
    policy = answer.headers.get_list("Content-Security-Policy")
    assert policy == ["sandbox; default-src 'none'; style-src 'unsafe-inline'"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_cells_of_a_run_are_its_notebook_and_can_be_compared(call, trained):
    first, second = (run.run_id for run in trained)
    status, notebook = await call("GET", f"runs/{first}/notebook")
    assert (status, notebook["cells"][0]["source"]) == (200, "fit(1)")
    status, found = await call("GET", "runs/compare", a=second, b=first)
    assert (status, found["code"][0]["run_id"]) == (200, first)
    (cell,) = found["code"][0]["cells"]
    assert cell["lines"] == ["- fit(2)", "+ fit(1)"]
