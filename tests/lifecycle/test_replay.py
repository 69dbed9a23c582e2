"""Runs of every kind, run again: equal where they can be, and reported where not."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from nbmlops.entities import to_json
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.execution.run import run_notebook
from nbmlops.lifecycle.replay.replay import replay, verdict_on
from nbmlops.lifecycle.runs import runs
from nbmlops.render.tables import replay_table
from nbmlops.store import artifacts
from nbmlops.store.registry.registered_models import list_models
from nbmlops.store.runs import queries
from nbmlops.store.runs.queries import list_children
from tests.kernels import kernel
from tests.notebooks import write_notebook

pytestmark = pytest.mark.kernel
QUICKSTART = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"


def recorded(store, name):
    """Return the newest run of a name that is no replay."""
    found = [r for r in queries.iterate_runs(store) if r.name == name]
    return next(r for r in found if "nbmlops.replay_of" not in r.tags)


def replay_of(store, run):
    return json.loads(artifacts.read_file(store, run.run_id, "nbmlops/replay.ipynb"))


def sources(document):
    return [cell["source"] for cell in document["cells"]]


def verdicts(result):
    return {(c.what, c.name): c.verdict for c in result.compared}


@pytest.mark.slow
def test_quickstart_replays_to_equal_metrics_data_and_models(store, project):
    (project / "notebooks").mkdir()
    path = Path(shutil.copy(QUICKSTART, project / "notebooks"))
    step = run_notebook(path, params={"seed": 11}, store=store)
    originals = [queries.get_run(store, run_id) for run_id in step.run_ids]
    assert [run.tags["nbmlops.order"] for run in originals] == ["clean"] * 3
    last = replay(originals[-1], store=store)
    assert last.verdict == "equal", replay_table(last)
    assert {c.what for c in last.compared} == {"status", "metric", "dataset", "model"}
    assert "seed = 11" in sources(replay_of(store, originals[-1]))[0]
    whole = replay(step.run_id, store=store)
    assert whole.verdict == "equal", replay_table(whole)
    assert {c.name for c in whole.compared if c.what == "model"} == {
        run.name for run in originals
    }

    run = queries.get_run(store, last.run_id)
    assert run.tags["nbmlops.kind"] == "replay"
    assert run.tags["nbmlops.replay_of"] == originals[-1].run_id
    assert run.tags["nbmlops.replay.verdict"] == "equal"
    kept = json.loads(artifacts.read_file(store, last.run_id, "nbmlops/replay.json"))
    assert kept == to_json(last)
    seen = queries.get_run(store, originals[-1].run_id).tags["nbmlops.replayed"]
    assert seen == f"equal ({last.run_id})"
    (child,) = list_children(store, last.run_id)
    assert child.source == "notebooks/quickstart.ipynb"
    newest = queries.newest_with_model(store, source="notebooks/quickstart.ipynb")
    assert newest.run_id == originals[-1].run_id


CELLS = {
    "load": "%load_ext nbmlops",
    "data": "rows = [1, 2, 3, 4]",
    "scale": "factor = 2",
    "track": "%%track fit -p bias -m score\nbias = 10\n"
    "score = sum(rows) * factor + bias",
    "later": "factor = 5",
    "report": "report = 'nothing of the run'",
}


def notebook_of(cells, path):
    made = [
        nbformat.v4.new_code_cell(source, id=cell_id)
        for cell_id, source in cells.items()
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    return path


@pytest.fixture
def opened(project):
    """Give a kernel that runs cells of a notebook by their ids."""
    path = notebook_of(CELLS, project / "work.ipynb")
    with kernel(project, {"JPY_SESSION_NAME": str(path)}) as running:

        def run(*ids):
            replies = [running.run(CELLS[each], cell_id=each) for each in ids]
            assert all(reply.status == "ok" for reply in replies)
            return replies[-1].text

        yield run


def test_out_of_order_notebook_is_named_and_its_replay_is_equal(store, opened):
    said = opened("load", "data", "report", "scale", "later", "track")
    run = recorded(store, "fit")
    assert run.metrics == {"score": 60.0}
    assert run.tags["nbmlops.order"] == "out-of-order"
    assert run.tags["nbmlops.order.cells"] == "4, 5"
    assert run.tags["nbmlops.order.basis"] == "file"
    assert "out of order" in said
    assert "[4], [5]" in said
    assert sources(replay_of(store, run)) == [
        "bias = 10",
        CELLS["load"],
        CELLS["data"],
        CELLS["later"],
        CELLS["track"].replace("bias = 10", "# bias = 10"),
    ]
    result = replay(run, store=store)
    assert result.verdict == "equal", replay_table(result)

    opened("scale", "track")
    again = recorded(store, "fit")
    assert again.tags["nbmlops.order"] == "clean"
    assert again.metrics == {"score": 30.0}
    assert replay(again, store=store).verdict == "equal"


def test_run_all_twice_is_clean_and_an_edit_above_is_not(store, project, opened):
    opened(*CELLS)
    said = opened(*CELLS)
    assert recorded(store, "fit").tags["nbmlops.order"] == "clean"
    assert "out of order" not in said
    notebook_of(CELLS | {"scale": "factor = 3"}, project / "work.ipynb")
    opened("track")
    run = recorded(store, "fit")
    assert run.tags["nbmlops.order"] == "out-of-order"
    assert run.tags["nbmlops.order.cells"] == "9, 11"


def test_cells_that_changed_or_failed_replay_as_they_ran(store, project):
    cells = [
        "import nbmlops as nm\ncount = 1",
        "count += 1",
        "%load_ext nbmlops",
        "count += 1",
        "count += 10\n1 / 0\ncount += 100",
        "def broken(:",
        "other = 'left out'",
        "%%track other -m value=count\nvalue = count",
        "with nm.track('block', params={'C': 1}) as run:\n    C = 1\n"
        "    run.log(score=count * C)",
        "for C in (1, 2):\n    with nm.track('loop', params={'C': C}) as run:\n"
        "        run.log(score=count * C)",
        "%track on long -m total",
        "total = count",
        "%track log part=total/2",
        "%register nothing",
        "fine = True",
        "%track off",
    ]
    with kernel(project) as k:
        for cell in cells:
            k.run(cell)
    for name, metrics in (
        ("other", {"value": 13.0}),
        ("block", {"score": 13.0}),
        ("loop", {"score": 26.0}),
        ("long", {"part": 6.5, "total": 13.0}),
    ):
        run = recorded(store, name)
        assert run.metrics == metrics
        kept = sources(replay_of(store, run))
        assert "other = 'left out'" not in kept
        assert "def broken(:" not in kept
        assert sum(source == "count += 1" for source in kept) == 2
        result = replay(run, store=store)
        assert result.verdict == "equal", replay_table(result)
    assert sources(replay_of(store, recorded(store, "long")))[-3] == (
        "pass  # %register nothing"
    )
    assert not list_models(store).items


def test_replay_reads_the_files_that_the_run_read(store, project):
    (project / "data").mkdir()
    (project / "work").mkdir()
    data, helper = project / "data" / "rows.csv", project / "work" / "helper.py"
    data.write_text("x\n1\n2\n", encoding="utf-8")
    helper.write_text("def total(values):\n    return sum(values)\n", encoding="utf-8")
    path = write_notebook(
        project / "work" / "read.ipynb",
        [
            "%load_ext nbmlops\nimport helper\nimport pandas as pd",
            "from pathlib import Path\nfolder = Path('../data')",
            "rows = pd.read_csv(folder / 'rows.csv')",
            "Path('made.txt').write_text('x')",
            "%%track it -m total -d rows\ntotal = helper.total(rows['x'])",
        ],
    )
    run_notebook(path, store=store)
    run = recorded(store, "it")
    files = replay_of(store, run)["metadata"]["nbmlops"]["files"]
    assert [(file["path"], file["role"]) for file in files] == [
        ("data/rows.csv", "data"),
        ("work/helper.py", "code"),
        ("work/made.txt", "made"),
    ]
    data.write_text("x\n100\n", encoding="utf-8")
    helper.write_text("def total(values):\n    return 0\n", encoding="utf-8")
    result = replay(run, store=store)
    assert result.verdict == "equal", replay_table(result)
    assert any("data/rows.csv is another" in note for note in result.notes)
    assert data.read_text(encoding="utf-8") == "x\n100\n"

    shutil.rmtree(project / ".nbmlops" / "data")
    without = replay(run, store=store)
    assert without.verdict == "different"
    assert any("no copy of it was kept" in note for note in without.notes)
    assert verdicts(without)["dataset", "rows"] == "different"


def test_script_replays_as_one_cell_with_its_arguments(store, project):
    (project / "train.py").write_text(
        "from __future__ import annotations\nimport sys\nimport nbmlops as nm\n"
        "def main():\n    with nm.track('script') as run:\n"
        "        run.log(score=float(sys.argv[1]), n=len(__file__))\n"
        "if __name__ == '__main__':\n    sys.exit(main())\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, "train.py", "0.25"], cwd=project, check=True, env=os.environ
    )
    assert done.returncode == 0
    run = recorded(store, "script")
    assert run.metrics["score"] == 0.25
    result = replay(run, store=store)
    assert result.verdict == "equal", replay_table(result)


def test_a_script_is_replayed_on_what_it_read(store, project):
    (project / "rows.txt").write_text("1 2", encoding="utf-8")
    (project / "train.py").write_text(
        "import nbmlops as nm\nwith nm.track('script') as run:\n"
        "    rows = open('rows.txt').read().split()\n"
        "    run.log(total=float(sum(map(int, rows))))\n",
        encoding="utf-8",
    )
    os.utime(project / "rows.txt", (1e9, 1e9))
    subprocess.run([sys.executable, "train.py"], cwd=project, check=True)
    (project / "rows.txt").write_text("100", encoding="utf-8")
    result = replay(recorded(store, "script"), store=store)
    assert result.verdict == "equal", replay_table(result)
    assert any("rows.txt is another" in note for note in result.notes)


def test_what_no_replay_repeats_is_named(store, project):
    (project / "count.txt").write_text("1", encoding="utf-8")
    path = write_notebook(
        project / "count.ipynb",
        [
            "%load_ext nbmlops\nfrom pathlib import Path\nfile = Path('count.txt')",
            "file.write_text(str(int(file.read_text()) + 1))",
            "%%track it -m n steady\nn, steady = int(file.read_text()), 7",
            "%%track fails -m n\n1 / 0 if int(file.read_text()) > 2 else 0",
        ],
    )
    run_notebook(path, store=store)
    run = recorded(store, "it")
    result = replay(run, tolerance=0.01, store=store)
    assert result.verdict == "different"
    assert verdicts(result) == {
        ("metric", "n"): "different",
        ("metric", "steady"): "equal",
        ("status", "it"): "equal",
    }
    assert replay(run, tolerance=2, store=store).verdict == "within tolerance"
    failed = replay(recorded(store, "fails"), store=store)
    assert verdicts(failed)["status", "fails"] == "different"
    assert any("ZeroDivisionError" in note for note in failed.notes)


def test_what_cannot_be_replayed_is_refused(store):
    bare = store.client.create_run("0").info.run_id
    with pytest.raises(NotFoundError, match="kept no cells"):
        replay(bare, store=store)
    with pytest.raises(UsageError, match="tolerance"):
        replay(bare, tolerance=-1, store=store)


@pytest.mark.parametrize(
    ("before", "after", "tolerance", "verdict"),
    [
        (1.0, 1.0, 0, "equal"),
        (float("nan"), float("nan"), 0, "equal"),
        (float("inf"), float("inf"), 0, "equal"),
        (1.0, 1.0 + 1e-12, 0, "different"),
        (1.0, 1.0 + 1e-12, 1e-9, "within tolerance"),
        (1000.0, 1001.0, 0.01, "within tolerance"),
        (0.0, 0.005, 0.01, "within tolerance"),
        (0.0, float("nan"), 5, "different"),
        (1.0, None, 5, "different"),
    ],
)
def test_verdict_on_two_values(before, after, tolerance, verdict):
    assert verdict_on(before, after, tolerance) == verdict


def test_experiment_of_the_original_holds_no_replays(store, opened):
    opened("load", "data", "scale", "track")
    replay(store=store)
    assert [run.name for run in runs(store=store).page] == ["fit"]
    there = queries.list_runs(store, experiment="my project replays")
    assert sorted(run.name for run in there) == ["fit", "replay of fit"]
