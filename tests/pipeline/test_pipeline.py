import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack

import nbformat
import pytest

import nbmlops as nm
from nbmlops.cli.main import invoke
from nbmlops.entities import to_json
from nbmlops.errors import NotFoundError, PipelineRunError, UsageError
from nbmlops.execution.file_hashes import Digests
from nbmlops.pipeline.cache.outputs import lock_outputs
from nbmlops.store import artifacts
from nbmlops.store.runs import queries
from nbmlops.store.runs.queries import list_children
from tests.notebooks import write_notebook
from tests.pipeline.pipelines import (
    ROOT,
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


def children(store, run_id):
    return {run.name: run for run in list_children(store, run_id)}


def plan_of(path, **options):
    return {
        s.step: (s.state, s.why) for s in nm.Pipeline.load(path).plan(**options).steps
    }


def edit(path, index, source):
    notebook = nbformat.read(path, 4)
    notebook.cells[index].source = source
    nbformat.write(notebook, path)


def test_all_runs_of_a_pipeline_tell_the_commit_that_it_began_at(store, project):
    git = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    commit = ["commit", "-q", "--allow-empty", "-m", "x"]
    subprocess.run([*git, *commit], check=True)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    source = (
        "import subprocess, nbmlops as nm\n"
        f"subprocess.run({[*git, *commit]!r}, check=True)\n"
        "with nm.track('inner'):\n    pass"
    )
    write_notebook(project / "train.ipynb", [source])
    path = write_pipeline(project, "steps:\n  train: {notebook: train.ipynb}\n")
    report = nm.Pipeline.load(path, store=store).run().report
    step = queries.get_run(store, report.step("train").run_id)
    (inner,) = list_children(store, step.run_id)
    above = queries.get_run(store, report.run_id)
    found = {run.tags["mlflow.source.git.commit"] for run in (above, step, inner)}
    assert found == {head}


def test_a_miss_tells_what_has_changed_since_the_last_run(store, project):
    path = write_chain(project)
    whole = nm.Pipeline.load(path, store=store)
    whole.run()
    whole.run(params={"prepare.times": 2})
    assert states(whole.run().report) == {"prepare": "cached", "train": "cached"}
    report = whole.run(params={"train.C": 3.0}).report
    assert report.step("train").why == "param C changed"


def test_what_python_caches_next_to_an_input_is_none(store, project):
    (project / "shapes").mkdir()
    (project / "shapes" / "round.py").write_text("PI = 3\n")
    source = (
        "from pathlib import Path\nbeside = Path('shapes', '__pycache__')\n"
        "beside.mkdir(exist_ok=True)\n(beside / 'round.pyc').touch()"
    )
    write_notebook(project / "a.ipynb", [source])
    path = write_pipeline(project, "steps: {a: {notebook: a.ipynb, inputs: [shapes]}}")
    for state in ("done", "cached"):
        report = nm.Pipeline.load(path, store=store).run().report
        assert (states(report), report.notes) == ({"a": state}, ())
    assert (project / "shapes" / "__pycache__").exists()


def test_a_selected_result_that_could_not_be_kept_is_reported(store, project):
    write_notebook(
        project / "a.ipynb",
        ["import nbmlops as nm\nopen('out.txt', 'w').write(str(C))\nnm.emit(auc=C)"],
        parameters="C: float = 1.0",
    )
    step = "notebook: a.ipynb, outputs: [out.txt], grid: {C: [0.1, 0.2]}"
    path = write_pipeline(project, f"steps: {{a: {{{step}, select: {{metric: auc}}}}}}")
    entries = project / ".nbmlops" / "cache" / "entries"
    entries.parent.mkdir(parents=True)
    entries.write_text("in the way")
    with pytest.raises(PipelineRunError, match=r"are not in the cache\. See that"):
        nm.Pipeline.load(path, store=store).run()


def test_nothing_is_selected_by_what_is_no_number(store, project):
    write_notebook(
        project / "a.ipynb",
        ["import nbmlops as nm\nnm.emit(auc=float('nan'))"],
        parameters="C: float = 1.0",
    )
    step = "notebook: a.ipynb, grid: {C: [0.1, 0.2]}, select: {metric: auc}"
    path = write_pipeline(project, f"steps: {{a: {{{step}}}}}")
    loaded = nm.Pipeline.load(path, store=store)
    with pytest.raises(PipelineRunError, match="'auc' is not a number in any run"):
        loaded.run()
    first, second = loaded.plan().steps
    assert (first.state, second.state) == ("run", "cached")
    assert first.why.startswith("will fail: Metric 'auc' is not a number in any run")


def test_a_chain_runs_once_and_is_put_back_afterwards(store, project):
    path = write_chain(project)
    before = {each: each.read_bytes() for each in project.glob("*.ipynb")}
    lines = []
    report = nm.Pipeline.load(path, store=store).run(jobs=1, say=lines.append).report
    assert {each: each.read_bytes() for each in project.glob("*.ipynb")} == before
    assert states(report) == {"prepare": "done", "train": "done"}
    assert report.step("prepare").values == {"rows": 3, "first": "1"}
    assert report.step("train").values == {"score": 12.0, "n": 3}
    assert report.step("train").metrics == {"score": 12.0, "n": 3.0}
    assert report.step("prepare").outputs == ("build/clean.txt",)
    assert lines[0] == "prepare: running, not run before"

    run = queries.get_run(store, report.run_id)
    assert (run.status, run.name, run.experiment) == ("FINISHED", "chain", "chain")
    assert run.tags["nbmlops.kind"] == "pipeline"
    assert run.tags["nbmlops.pipeline"] == run.source == "pipeline.yaml"
    kept = artifacts.read_file(store, run.run_id, "nbmlops/pipeline.yaml")
    assert kept == path.read_bytes()
    steps = children(store, run.run_id)
    assert steps["train"].params == {"C": "2.0", "n": "3"}
    assert steps["train"].metrics == {"score": 12.0, "n": 3.0}
    assert steps["prepare"].tags["nbmlops.value.first"] == "1"
    values = artifacts.read_file(store, steps["prepare"].run_id, "nbmlops/values.json")
    assert json.loads(values) == {"rows": 3, "first": "1"}
    assert steps["train"].tags["nbmlops.cache"] == "miss: not run before"

    (project / "build" / "clean.txt").unlink()
    again = nm.Pipeline.load(path, store=store).run().report
    assert states(again) == {"prepare": "cached", "train": "cached"}
    assert again.step("train").run_id == steps["train"].run_id
    assert again.step("train").values == {"score": 12.0, "n": 3}
    assert (project / "build" / "clean.txt").read_text() == "1 2 3"
    assert ledger(project) == ["prepare", "train"]

    status = nm.Pipeline.load(path, store=store).status()
    assert states(status.report) == {"prepare": "cached", "train": "cached"}
    assert status.report.run_id != run.run_id
    assert status.report.step("train").run_id == steps["train"].run_id
    hit = children(store, status.report.run_id)["train"]
    assert hit.tags["nbmlops.cache"] == "hit"
    assert hit.tags["nbmlops.cached_run"] == steps["train"].run_id
    assert json.loads(json.dumps(to_json(again)))["status"] == "FINISHED"
    assert "cached" in repr(status)


def test_a_plan_says_what_changed(store, project, monkeypatch):
    path = write_chain(project)
    edit(project / "prepare.ipynb", 1, "import helper, numpy\n"
         + nbformat.read(project / "prepare.ipynb", 4).cells[1].source)  # fmt: skip
    (project / "helper.py").write_text("from inner import x\n", encoding="utf-8")
    (project / "inner.py").write_text("x = 1\n", encoding="utf-8")
    assert plan_of(path) == {
        "prepare": ("run", "not run before"),
        "train": ("run", "behind 'prepare', which runs"),
    }
    report = nm.Pipeline.load(path, store=store).run().report
    cached = ("cached", f"as made by run {report.step('prepare').run_id}")
    assert plan_of(path)["prepare"] == cached

    notebook = nbformat.read(project / "prepare.ipynb", 4)
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("# New words"))
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="old")]
    notebook.metadata["mine"] = 1
    nbformat.write(notebook, project / "prepare.ipynb")
    assert plan_of(path)["prepare"] == cached

    def changed(step="prepare", **options):
        state, why = plan_of(path, **options)[step]
        assert state == "run"
        return why

    assert changed(params={"prepare.times": 2}) == "param times is new"
    assert changed("train", params={"train.C": 3.0}) == "param C changed"
    assert changed(force="prepare") == "forced"
    assert plan_of(path, force="prepare")["train"] == (
        "open",
        "depends on what 'prepare' makes",
    )
    raw = (project / "data" / "raw.csv").read_text()
    (project / "data" / "raw.csv").write_text("4\n")
    assert changed() == "input data/raw.csv changed"
    (project / "data" / "raw.csv").write_text(raw)
    (project / "inner.py").write_text("x = 2\n", encoding="utf-8")
    assert changed() == "module inner.py changed"
    (project / "inner.py").write_text("x = 1\n", encoding="utf-8")
    assert plan_of(path)["prepare"] == cached
    edit(
        project / "prepare.ipynb", 3, "import nbmlops as nm\nnm.emit(rows=0, first='')"
    )
    assert changed() == "code changed"

    from nbmlops.pipeline.cache.keys import Packages

    versions = Packages.versions
    monkeypatch.setattr(
        Packages, "versions", lambda *given: versions(*given) | {"numpy": "0.1"}
    )
    assert "environment: numpy" in changed()


def test_corrupt_and_missing_entries_are_misses(store, project):
    path = write_chain(project)
    nm.Pipeline.load(path, store=store).run()
    cache = project / ".nbmlops" / "cache"
    unsigned = "is damaged, or signed with a key of another project"
    for n, (why, spoil) in enumerate(
        (
            ("is damaged", lambda each: each.write_bytes(b"not JSON")),
            (
                unsigned,
                lambda each: each.write_bytes(
                    each.read_bytes().replace(b"train", b"trian")
                ),
            ),
            ("is not kept any more", lambda each: each.unlink()),
            (
                "is of another format; remove such with: nbmlops cache gc",
                lambda each: each.write_bytes(b'{"body": 1, "sha256": 2}'),
            ),
        )
    ):
        entry = next(
            each
            for each in (cache / "entries").glob("??/*")
            if b'"train"' in each.read_bytes()
        )
        spoil(entry)
        assert plan_of(path)["train"] == ("run", f"its result {why}")
        report = nm.Pipeline.load(path, store=store).run().report
        assert states(report) == {"prepare": "cached", "train": "done"}
        assert ledger(project).count("train") == n + 2

    (blob,) = (cache / "blobs").glob("??/*")
    (project / "build" / "clean.txt").unlink()
    blob.write_bytes(b"1 2 4")
    report = nm.Pipeline.load(path, store=store).run().report
    assert report.step("prepare").state == "done"
    assert report.step("prepare").why == "its files are gone"
    assert (project / "build" / "clean.txt").read_text() == "1 2 3"
    assert report.step("train").state == "cached"


def test_a_grid_fans_out_and_the_best_one_goes_on(store, project):
    write_notebook(
        project / "train.ipynb",
        ["import nbmlops as nm\n"
         "with nm.track('fit') as run:\n    run.log(loss=(C - 1) ** 2)\n"
         "open('model.txt', 'w').write(str(C))"],
        parameters="C: float = 1.0\nkind: str = 'a'",
    )  # fmt: skip
    write_notebook(
        project / "use.ipynb",
        ["import nbmlops as nm\nnm.emit(seen=[C, loss, open('model.txt').read()])"],
        parameters="C: float = 0.0\nloss: float = 0.0\nrun: str = ''",
    )
    path = write_pipeline(
        project,
        """\
        steps:
          train:
            notebook: train.ipynb
            grid: {C: [0.5, 1.25, 3.0]}
            outputs: [model.txt]
            select: {metric: loss}
          use:
            notebook: use.ipynb
            inputs: [model.txt]
            params:
              C: "${{ steps.train.params.C }}"
              loss: "${{ steps.train.metrics.loss }}"
              run: "run ${{ steps.train.run_id }}"
        """,
    )
    loaded = nm.Pipeline.load(path, store=store)
    assert "train x3" in repr(loaded)
    report = loaded.run(jobs=2).report
    best = report.step("train")
    assert (best.step, best.metrics, best.params["kind"]) == (
        "train[C=1.25]",
        {"loss": 0.0625},
        "a",
    )
    assert report.step("use").values == {"seen": [1.25, 0.0625, "1.25"]}
    assert report.step("use").params["run"] == f"run {best.run_id}"
    tags = queries.get_run(store, report.run_id).tags
    assert tags["nbmlops.selected.train"] == f"train[C=1.25] {best.run_id}"
    assert len(children(store, report.run_id)) == 4

    (project / "model.txt").write_text("3.0")
    again = nm.Pipeline.load(path, store=store).run().report
    assert set(states(again).values()) == {"cached"}
    assert (project / "model.txt").read_text() == "1.25"

    one = nm.Pipeline.load(path, store=store).run(params={"train.C": 3.0}).report
    assert states(one) == {"train": "cached", "use": "done"}
    assert one.step("use").values == {"seen": [3.0, 4.0, "3.0"]}


FAILING = """\
    steps:
      bad: {notebook: bad.ipynb, outputs: [made.txt]}
      behind: {notebook: good.ipynb, needs: [bad]}
      beside: {notebook: good.ipynb, params: {text: "a"}}
    """


def test_a_failed_step_stops_what_needs_it_and_the_command_goes_on_from_there(
    store, project
):
    write_notebook(project / "bad.ipynb", ["assert False, 'no data'"])
    write_notebook(
        project / "good.ipynb", ["print('good', file=open('ledger.txt', 'a'))"],
        parameters="text: str = ''",
    )  # fmt: skip
    path = write_pipeline(project, FAILING)
    with pytest.raises(PipelineRunError) as caught:
        nm.Pipeline.load(path, store=store).run(jobs=1)
    assert states(caught.value.report) == {
        "bad": "failed",
        "behind": "not run",
        "beside": "not run",
    }
    assert "AssertionError: no data" in caught.value.problem
    assert caught.value.report.step("behind").why == "it needs 'bad', which failed"
    with pytest.raises(PipelineRunError) as caught:
        nm.Pipeline.load(path, store=store).run(jobs=1, keep_going=True)
    assert states(caught.value.report) == {
        "bad": "failed",
        "behind": "not run",
        "beside": "done",
    }
    run = queries.get_run(store, caught.value.report.run_id)
    assert run.status == "FAILED"
    assert "no data" in run.tags["nbmlops.ended_because"]
    status = nm.Pipeline.load(path, store=store).status().report
    assert states(status) == states(caught.value.report)

    write_notebook(project / "bad.ipynb", ["x = 1"])
    with pytest.raises(PipelineRunError, match=r"'made.txt' is not there") as caught:
        nm.Pipeline.load(path, store=store).run(keep_going=True)
    assert states(caught.value.report)["beside"] == "cached"
    failed = caught.value.report.step("bad").run_id
    assert queries.get_run(store, failed).status == "FAILED"

    (project / "made.txt").write_text("old")
    with pytest.raises(PipelineRunError, match="was there before and was not written"):
        nm.Pipeline.load(path, store=store).run()

    write_notebook(project / "bad.ipynb", ["open('made.txt', 'w').write('new')"])
    report = nm.Pipeline.load(path, store=store).run().report
    assert states(report) == {"bad": "done", "behind": "done", "beside": "cached"}
    assert ledger(project) == ["good", "good"]


DYING = """\
import os, signal
from pathlib import Path
n = len(Path('tries.txt').read_text()) if Path('tries.txt').exists() else 0
open('tries.txt', 'a').write('x')
if n < 1:
    {end}
"""


@pytest.mark.parametrize(
    ("end", "options", "tries"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "", 2),
        ("raise OSError('a flaky disk')", "", 1),
        ("raise OSError('a flaky disk')", ", retry_on: [error]", 2),
        ("import time; time.sleep(60)", ", retry_on: [timeout], timeout_s: 3", 2),
    ],
)
def test_what_is_tried_again_depends_on_how_it_ended(
    store, project, end, options, tries
):
    write_notebook(project / "a.ipynb", [DYING.format(end=end)])
    path = write_pipeline(
        project,
        f"steps: {{a: {{notebook: a.ipynb, retries: 2, retry_wait_s: 0.1{options}}}}}",
    )
    pipeline = nm.Pipeline.load(path, store=store)
    if tries == 1:
        with pytest.raises(PipelineRunError, match="a flaky disk"):
            pipeline.run()
    else:
        report = pipeline.run().report
        assert report.step("a").attempts == tries
        assert report.step("a").state == "done"
    assert len((project / "tries.txt").read_text()) == tries
    (parent,) = queries.list_runs(store, filter="tags.`nbmlops.kind` = 'pipeline'")
    assert len(list_children(store, parent.run_id)) == tries


def test_the_death_of_a_worker_harms_no_other_step(store, project):
    write_notebook(
        project / "a.ipynb",
        ["import os, signal\nos.kill(int(os.environ['JPY_PARENT_PID']), 9)\n"
         "import time; time.sleep(60)"],
    )  # fmt: skip
    write_notebook(project / "b.ipynb", ["import time; time.sleep(1)"])
    path = write_pipeline(
        project, "steps: {a: {notebook: a.ipynb}, b: {notebook: b.ipynb}}"
    )
    with pytest.raises(PipelineRunError, match="The process of a ended: signal 9"):
        nm.Pipeline.load(path, store=store).run(jobs=2)
    (parent,) = queries.list_runs(store, filter="tags.`nbmlops.kind` = 'pipeline'")
    found = children(store, parent.run_id)
    assert (found["a"].status, found["b"].status) == ("KILLED", "FINISHED")


def test_a_step_that_reads_what_changes_meanwhile_is_not_kept(store, project):
    write_chain(project)
    edit(
        project / "prepare.ipynb",
        2,
        "import nbmlops as nm\nopen('data/raw.csv', 'a').write('4\\n')\n"
        "nm.emit(rows=3, token='ghp_' + 'a1B2' * 9)",
    )
    path = project / "pipeline.yaml"
    report = nm.Pipeline.load(path, store=store).run().report
    (note,) = report.notes
    assert note.startswith("prepare is not kept: input data/raw.csv changed")
    assert plan_of(path)["prepare"][0] == "run"


def test_a_cache_that_is_off_and_a_folder_as_an_output(store, project):
    write_notebook(
        project / "split.ipynb",
        ["from pathlib import Path\nPath('parts').mkdir(exist_ok=True)\n"
         "for i in range(n):\n    Path(f'parts/{i}.txt').write_text(str(i))"],
        parameters="n: int = 3",
    )  # fmt: skip
    write_notebook(
        project / "count.ipynb",
        ["import nbmlops as nm\nfrom pathlib import Path\n"
         "nm.emit(n=len(list(Path('parts').glob('*'))))\n"
         "print('count', file=open('ledger.txt', 'a'))"],
    )  # fmt: skip
    path = write_pipeline(
        project,
        """\
        steps:
          split: {notebook: split.ipynb, outputs: [parts]}
          count: {notebook: count.ipynb, inputs: ["parts/*.txt"], cache: false}
        """,
    )
    assert nm.Pipeline.load(path, store=store).run().report.step("count").values == {
        "n": 3
    }
    (project / "parts" / "0.txt").unlink()
    notes = project / "parts" / "notes.txt"
    notes.write_text("three days of work")
    report = nm.Pipeline.load(path, store=store).run().report
    assert states(report) == {"split": "cached", "count": "done"}
    assert report.step("count").values == {"n": 4}
    assert "split leaves alone 'parts/notes.txt', not made by it" in report.notes
    assert plan_of(path)["split"][1].endswith("leaves alone 'parts/notes.txt'")
    assert ledger(project) == ["count", "count"]
    nm.Pipeline.load(path, store=store).run(force="split", params={"split.n": 1})
    assert notes.read_text() == "three days of work"
    assert plan_of(path)["count"] == ("run", "its cache is off")


def test_a_file_that_the_user_changed_is_named_and_kept(store, project):
    path = write_chain(project)
    nm.Pipeline.load(path, store=store).run()
    clean = project / "build" / "clean.txt"
    clean.write_text("corrected by hand")
    problem = "'build/clean.txt' is not as step 'prepare' made it, and left alone."
    plan = plan_of(path)
    assert plan["prepare"] == ("run", f"will fail: {problem}")
    assert plan["train"] == ("run", "behind 'prepare', which runs")
    with pytest.raises(PipelineRunError) as caught:
        nm.Pipeline.load(path, store=store).run()
    assert caught.value.report.step("prepare").why.startswith(problem)
    assert clean.read_text() == "corrected by hand"
    assert ledger(project) == ["prepare", "train"]
    clean.unlink()
    report = nm.Pipeline.load(path, store=store).run().report
    assert states(report) == {"prepare": "cached", "train": "cached"}
    assert clean.read_text() == "1 2 3"


def test_what_a_failed_run_left_is_the_steps_and_a_link_is_not_kept(store, project):
    write_notebook(
        project / "a.ipynb",
        ["from pathlib import Path\nout = Path('out')\nout.mkdir(exist_ok=True)\n"
         "(out / 'a.txt').write_text(kind)\nassert kind != 'fail'\n"
         "if kind == 'link':\n    (out / 'last').symlink_to('a.txt')"],
        parameters="kind: str = 'good'",
    )  # fmt: skip
    path = write_pipeline(project, "steps: {a: {notebook: a.ipynb, outputs: [out]}}")
    made = project / "out" / "a.txt"
    nm.Pipeline.load(path, store=store).run()
    with pytest.raises(PipelineRunError):
        nm.Pipeline.load(path, store=store).run(params={"a.kind": "fail"})
    assert made.read_text() == "fail"
    assert states(nm.Pipeline.load(path, store=store).run().report) == {"a": "cached"}
    assert made.read_text() == "good"
    report = nm.Pipeline.load(path, store=store).run(params={"a.kind": "link"}).report
    said = "a is not kept: it made 'out/last', which is a link or no file"
    assert report.notes == (said,)
    assert states(nm.Pipeline.load(path, store=store).run().report) == {"a": "cached"}
    assert [each.name for each in (project / "out").iterdir()] == ["a.txt"]


def test_files_that_another_run_is_at_are_waited_for(store, project):
    loaded = nm.Pipeline.load(write_chain(project), store=store)
    loaded.run()
    (project / "build" / "clean.txt").unlink()
    step = loaded.spec.step("prepare")
    with ExitStack() as held:
        held.enter_context(lock_outputs(project / ".nbmlops", project, step))

        def say(line):
            if line == "prepare: running, another run is at its files":
                held.close()

        report = loaded.run(say=say).report
    assert states(report) == {"prepare": "cached", "train": "cached"}
    assert (project / "build" / "clean.txt").read_text() == "1 2 3"
    assert ledger(project) == ["prepare", "train"]


def test_a_glob_that_looks_into_folders_orders_steps_and_decides_what_runs(
    store, project
):
    write_notebook(
        project / "make.ipynb",
        ["from pathlib import Path\nbuild = Path('build')\n"
         "(build / 'sub').mkdir(parents=True, exist_ok=True)\n"
         "for name in ('a.csv', 'sub/b.csv'):\n    (build / name).write_text(str(n))"],
        parameters="n: int = 1",
    )  # fmt: skip
    write_notebook(
        project / "read.ipynb",
        ["from pathlib import Path\nprint('read', file=open('ledger.txt', 'a'))\n"
         "text = ''.join(p.read_text() for p in Path('build').glob(glob))\n"
         "Path(to).write_text(text)"],
        parameters="glob: str = ''\nto: str = ''",
    )  # fmt: skip
    path = write_pipeline(
        project,
        """\
        steps:
          deep: {notebook: read.ipynb, inputs: ["build/**/*.csv"], outputs: [deep.txt],
                 params: {glob: "**/*.csv", to: deep.txt}}
          flat: {notebook: read.ipynb, inputs: ["build/*.csv"], outputs: [flat.txt],
                 params: {glob: "*.csv", to: flat.txt}}
          make: {notebook: make.ipynb, outputs: [build]}
        """,
    )
    report = nm.Pipeline.load(path, store=store).run(jobs=2).report
    assert report.status == "FINISHED"
    assert (project / "deep.txt").read_text() == "11"
    assert (project / "flat.txt").read_text() == "1"
    shutil.rmtree(project / "build")
    plan = {each.step: each.state for each in nm.Pipeline.load(path).plan().steps}
    report = nm.Pipeline.load(path, store=store).run().report
    assert plan == states(report) == dict.fromkeys(("make", "deep", "flat"), "cached")
    assert ledger(project) == ["read", "read"]


def test_a_plan_from_a_step_forces_it_and_those_behind_it(store, project):
    path = write_chain(project)
    nm.Pipeline.load(path, store=store).run()
    loaded = nm.Pipeline.load(path, store=store)
    plan = {each.step: each for each in loaded.plan(from_step="prepare").steps}
    assert (plan["prepare"].state, plan["prepare"].why) == ("run", "forced")
    assert plan["train"].state == "open"
    plan = {each.step: each.state for each in loaded.plan(from_step="train").steps}
    assert plan == {"prepare": "cached", "train": "run"}


def test_what_is_asked_wrongly_is_refused_before_anything_runs(store, project):
    pipeline = nm.Pipeline.load(write_chain(project), store=store)
    with pytest.raises(UsageError) as caught:
        pipeline.run(params={"train.c": 1, "trian.C": 1.0, "train.C": "x"})
    assert "No parameter 'c'" in caught.value.problem
    assert "'trian.C': write STEP.NAME. Did you mean 'train.C'?" in caught.value.problem
    assert "'C' is 'x' (str), not float" in caught.value.problem
    with pytest.raises(UsageError) as caught:
        pipeline.run(params={"train.C": ["${{ steps.nobody.values.x }}"]})
    assert caught.value.problem == (
        "Parameter 'train.C' has a template; in the file it can."
    )
    for options in (
        {"engine": "lcoal"},
        {"jobs": 0},
        {"force": "trian"},
        {"from_step": "trian"},
        {"params": ["C"]},
    ):
        with pytest.raises(UsageError):
            pipeline.run(**options)
    with pytest.raises(NotFoundError, match="was not run yet"):
        pipeline.status()
    assert ledger(project) == []


def test_nothing_to_do_takes_no_kernel_and_loads_nothing_heavy(store, project):
    write_notebook(
        project / "a.ipynb", ["import nbmlops as nm\nnm.emit(y=x + 1)"],
        parameters="x: int = 0",
    )  # fmt: skip
    steps = "\n".join(
        f"  s{n}: {{notebook: a.ipynb, params: {{x: "
        + ("0" if n == 0 else f"'${{{{ steps.s{n - 1}.values.y }}}}'")
        + "}}"
        for n in range(10)
    )
    path = write_pipeline(project, f"steps:\n{steps}\n")
    report = nm.Pipeline.load(path, store=store).run(jobs=1).report
    assert report.step("s9").values == {"y": 10}
    code = (
        "import sys, time, psutil\nfrom nbmlops.cli.main import invoke\n"
        "assert invoke(['pipeline', 'run', 'pipeline.yaml', '--json']) == 0\n"
        "heavy = 'mlflow', 'papermill', 'nbformat', 'pandas', 'sklearn', 'sqlalchemy'\n"
        "assert not [m for m in heavy if m in sys.modules]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project,
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {each["state"] for each in document["steps"]} == {"cached"}
    wait_until(
        lambda: (
            len(queries.list_runs(store, filter="tags.`nbmlops.cache` = 'hit'")) == 10
        )
    )


def test_a_file_is_read_again_when_it_changed_and_only_then(project):
    digests = Digests(project / "digests")
    path = project / "a.txt"
    path.write_text("1")
    os.utime(path, ns=(0, 0))
    first = digests.sha256(path)
    path.write_text("2")  # of the same size, and given the same time
    os.utime(path, ns=(0, 0))
    assert digests.sha256(path) != first


def test_a_secret_reaches_the_notebook_and_nothing_that_is_written(
    store, project, monkeypatch, capsys
):
    monkeypatch.setenv("API_TOKEN", "marked-s3cret-value")
    write_notebook(
        project / "a.ipynb",
        ["import nbmlops as nm\nnm.emit(length=len(key), copy=key[:3])"],
        parameters="key: str = ''",
    )
    write_notebook(project / "b.ipynb", ["import nbmlops as nm\nnm.emit(n=len(key))"],
        parameters="key: str = ''",
    )  # fmt: skip
    write_pipeline(
        project,
        """\
        steps:
          a: {notebook: a.ipynb, params: {key: "secret:API_TOKEN"}}
          b: {notebook: b.ipynb, params: {key: "${{ steps.a.params.key }}"}}
        """,
    )
    assert invoke(["pipeline", "run", "pipeline.yaml", "--json"]) == 0
    out = capsys.readouterr().out
    first, second = json.loads(out)["steps"]
    assert first["values"] == {"length": 19, "copy": "mar"}
    assert second["values"] == {"n": 19}
    assert first["params"] == second["params"] == {"key": "secret:API_TOKEN"}
    assert "marked-s3cret" not in out
    for path in (project / ".nbmlops").rglob("*"):
        if path.is_file():
            assert b"marked-s3cret" not in path.read_bytes(), path


def test_a_forced_step_that_is_tried_again_is_still_forced(store, project):
    write_notebook(
        project / "a.ipynb",
        ["import os, signal\nprint('a', file=open('ledger.txt', 'a', buffering=1))\n"
         "if os.path.exists('dies'):\n    os.remove('dies')\n"
         "    os.kill(os.getpid(), signal.SIGKILL)"],
    )  # fmt: skip
    path = write_pipeline(
        project, "steps: {a: {notebook: a.ipynb, retries: 1, retry_wait_s: 0.1}}"
    )
    nm.Pipeline.load(path, store=store).run()
    (project / "dies").touch()
    report = nm.Pipeline.load(path, store=store).run(force=True).report
    assert (report.step("a").state, report.step("a").attempts) == ("done", 2)
    assert ledger(project) == ["a"] * 3


def test_a_runner_that_cannot_go_on_ends_its_run(store, project):
    def say(line):
        raise BrokenPipeError("nobody listens")

    pipeline = nm.Pipeline.load(write_chain(project), store=store)
    with pytest.raises(BrokenPipeError):
        pipeline.run(say=say)
    status = pipeline.status().report
    assert status.status == "FAILED"
    assert not queries.list_running(store)


def test_a_param_of_the_file_is_checked_for_each_step_that_takes_it(project, capsys):
    for name, parameters in (
        ("a", "seed: int = 0\nlabel: str = ''"),
        ("b", "seed: float = 0\nlabel = None"),
        ("c", "seed: str = ''"),
    ):
        write_notebook(project / f"{name}.ipynb", ["1"], parameters=parameters)
    path = write_pipeline(
        project,
        """\
        params: {seed: 1, label: x}
        steps:
          b: {notebook: b.ipynb}
          a: {notebook: a.ipynb}
          c: {notebook: c.ipynb, params: {seed: own}}
        """,
    )
    pipeline = nm.Pipeline.load(path)
    pipeline.plan(params={"seed": 2})
    with pytest.raises(UsageError) as caught:
        pipeline.plan(params={"seed": "two", "label": 3})
    assert caught.value.problem == (
        "Step 'b': Parameter 'seed' is 'two' (str), not float. "
        "Step 'a': Parameter 'seed' is 'two' (str), not int. "
        "Step 'a': Parameter 'label' is 3 (int), not str."
    )
    pipeline.plan(params={"seed": 1.5, "a.seed": 1})
    # What is typed becomes what all of them can take.
    assert pipeline.parse([("seed", "2"), ("label", "3")]) == {"seed": 2, "label": "3"}
    assert invoke(["pipeline", "plan", "pipeline.yaml", "-p", "seed", "1.5"]) == 2
    assert "'seed' is 1.5 (float), not int" in capsys.readouterr().err
