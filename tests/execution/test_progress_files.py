"""Runs reported on disk: what is read is what was reported, whatever the disk holds."""

import json
import time

import pytest

from nbmlops.entities import CellProgress, StepReport
from nbmlops.errors import NotFoundError
from nbmlops.execution.progress import reader
from nbmlops.execution.progress.reader import find_newest, get_live, list_ids
from nbmlops.execution.progress.writer import progress_file, report_to


@pytest.fixture
def home(tmp_path):
    return tmp_path / ".nbmlops"


def begin(home, path="pipeline.yaml"):
    return reader.begin(home, kind="pipeline", path=path)


def test_a_run_is_read_as_it_was_reported(home):
    live = begin(home)
    live.set_waiting(["prepare", "train[C=1]"])
    live.start("prepare", "not run before", 2.0)
    report_to(live.folder, "prepare")(CellProgress(n_done=1, n_cells=3, cell="fit()"))
    live.write()
    found = get_live(home, live.folder.name)
    assert (found.status, found.ended_at, found.path) == (
        "RUNNING",
        None,
        "pipeline.yaml",
    )
    first, second = found.steps
    assert first.cells == CellProgress(n_done=1, n_cells=3, cell="fit()")
    assert (first.state, first.expected_s, second.state) == ("running", 2.0, "waiting")
    live.set_report(
        StepReport(step="prepare", state="done", run_id="a", duration_s=1.5)
    )
    live.set_report(StepReport(step="train[C=1]", state="failed", why="it raised"))
    live.end("FAILED", run_id="b", problem="it raised", fix="Fix it.")
    found = get_live(home, live.folder.name)
    assert (found.status, found.run_id, found.problem) == ("FAILED", "b", "it raised")
    first, second = found.steps
    assert (first.duration_s, first.cells, first.has_notebook) == (1.5, None, True)
    assert (second.state, second.why) == ("failed", "it raised")
    assert find_newest(home, "pipeline.yaml", "pipeline") == found
    assert find_newest(home, "other.yaml", "pipeline") is None


def test_secrets_are_not_reported(home):
    live = begin(home)
    live.start("train", "param api_token=hunter2hunter2 changed")
    live.end("FAILED", problem="https://user:hunter2hunter2@host/ does not answer")
    assert "hunter2" not in (live.folder / "state.json").read_text()


def test_the_folder_tells_by_its_time_that_a_cell_has_ended(home):
    live = begin(home)
    before = dict(list_ids(home))
    time.sleep(0.02)  # the clock of files
    report_to(live.folder, "train")(CellProgress(n_done=1, n_cells=3, cell=""))
    assert dict(list_ids(home)) != before


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b'{"kind": "x"}', b"\xff"])
def test_what_cannot_be_read_is_not_there(home, content):
    live = begin(home)
    (live.folder / "state.json").write_bytes(content)
    with pytest.raises(NotFoundError):
        get_live(home, live.folder.name)
    assert find_newest(home, "pipeline.yaml", "pipeline") is None


@pytest.mark.parametrize("live_id", ["", "..", "0" * 32, "../" * 10 + "ab", "A" * 32])
def test_an_id_is_no_path(home, live_id):
    begin(home)
    with pytest.raises(NotFoundError):
        get_live(home, live_id)


def test_damaged_progress_is_none(home):
    live = begin(home)
    live.start("train", "")
    live.write()
    for damaged in ("{", json.dumps({"n_done": "1"})):
        progress_file(live.folder, "train").write_text(damaged)
        (step,) = get_live(home, live.folder.name).steps
        assert step.cells is None


def test_only_the_newest_runs_are_kept_and_none_that_goes_on(home):
    going = begin(home, "slow.yaml")
    for _ in range(35):
        begin(home).end("FINISHED")
    ids = [live_id for live_id, _ in list_ids(home)]
    assert len(ids) <= 31
    assert going.folder.name in ids


def test_a_thousand_steps_are_reported_of_in_little_time(home):
    live = begin(home)
    names = [f"train[C={n}]" for n in range(1000)]
    live.set_waiting(names)
    n_written = 0
    before = live._written_at
    for name in names:
        live.start(name, "not run before")
        live.set_report(StepReport(step=name, state="done", run_id="a", duration_s=1.0))
        live.flush()
        n_written += live._written_at != before
        before = live._written_at
    assert n_written < 200
    live.end("FINISHED")
    assert {s.state for s in get_live(home, live.folder.name).steps} == {"done"}
