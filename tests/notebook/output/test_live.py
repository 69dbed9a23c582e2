"""What a kernel shows of a run while its cell runs, and what stays."""

import json
import time

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from nbmlops.store import connect
from nbmlops.store.runs.queries import list_runs
from tests.kernels import kernel

pytestmark = pytest.mark.kernel

_LOOP = """%%track curve -p C --no-autolog
import time
from tqdm import tqdm
C, n = 0.5, {n}
for epoch in tqdm(range(n), file=open("bar.txt", "w")):
    %track log loss=1/(epoch+1) --step epoch
    time.sleep({pause})
"""


@pytest.fixture
def k(project):
    with kernel(project) as running:
        running.run("%load_ext nbmlops")
        yield running


def _shown(reply, kind=None):
    """Return the time and the text of each message that shows something."""
    return [
        (message["header"]["date"].timestamp(), message["content"]["data"])
        for message in reply.outputs
        if message["msg_type"] in ("display_data", "update_display_data")
        and kind in (None, message["msg_type"])
    ]


def _busiest_second(times):
    return max(sum(start <= t < start + 1 for t in times) for start in times)


def test_a_short_cell_shows_one_line_and_nothing_before_it(k):
    reply = k.run("%%track short -m auc=0.9 --no-autolog\n0")
    ((_, data),) = _shown(reply)
    assert "auc 0.9" in data["text/plain"]


def test_time_that_goes_into_a_traceback_does_not_make_a_cell_long(k, project):
    (project / "slow.py").write_text(
        "import time\n"
        "class Slow(Exception):\n"
        "    def _render_traceback_(self):\n"
        "        time.sleep(2)\n        return ['slow']\n",
        encoding="utf-8",
    )
    k.run("import slow")
    reply = k.run("%%track it\nraise slow.Slow")
    assert reply.count("error") == len(reply.outputs) == 1


def test_a_long_cell_shows_params_metrics_curve_and_time_left_while_it_runs(k):
    reply = k.run(_LOOP.format(n=30, pause=0.1))
    opened = _shown(reply, "display_data")
    assert len(opened) == 2
    assert "run curve" in opened[0][1]["text/plain"]
    live = [data for _, data in _shown(reply)[2:-2]]
    assert all(data["text/plain"].startswith("RUNNING") for data in live)
    assert "C: 0.5" in live[-1]["text/plain"]
    assert any("of 30, about" in data["text/plain"] for data in live)
    assert "data:image/svg+xml" in live[-1]["text/html"]
    values = [data["text/plain"].rsplit("loss ", 1)[1] for data in live]
    assert len(set(values)) > 2
    final = _shown(reply)[-1][1]
    assert final["text/plain"].startswith("FINISHED")
    assert "loss 0.03333" in final["text/plain"]
    assert "data-commandlinker" not in json.dumps(_shown(reply))


def test_a_loop_that_logs_30_000_times_makes_four_messages_a_second_at_most(k):
    reply = k.run(
        "%%track fast --no-autolog\nimport time\n"
        "tracked = get_ipython().nbmlops_session.cell\n"
        "began = time.monotonic()\n"
        "for step in range(30_000):\n"
        "    tracked.run.log(step=step, loss=1 / (step + 1))\n"
        "while time.monotonic() - began < 4: sum(range(1000))",
        timeout=120,
    )
    assert reply.status == "ok"
    times = [at for at, _ in _shown(reply)]
    assert len(times) > 4
    assert _busiest_second(times) <= 4
    assert "loss 3.333e-05" in _shown(reply)[-1][1]["text/plain"]


@pytest.mark.slow
def test_two_thousand_metrics_and_long_params_stay_below_50_kb(project):
    params = " ".join(f"p{number}=long" for number in range(60))
    source = (
        f"%%track many --no-autolog -p {params}\n"
        "import time\nlong = '<&\\'\"' * 1000\n"
        "tracked = get_ipython().nbmlops_session.cell\n"
        "for number in range(2_000):\n"
        "    name = f'metric {number} ' + 200 * 'x'\n"
        "    for step in range(3):\n"
        "        tracked.run.log_metrics({name: number}, step=step)\n"
        "time.sleep(1.5)"
    )
    short = source.replace("sleep(1.5)", "sleep(0)").replace("2_000", "300")
    for text in (source, short):
        notebook = _executed(project, ["%load_ext nbmlops", text])
        assert len(json.dumps(notebook.cells[1].outputs)) < 50_000


def test_what_is_saved_is_static_and_survives_nbconvert(project):
    notebook = _executed(
        project, ["%load_ext nbmlops", _LOOP.format(n=20, pause=0.1), "after = 1"]
    )
    line, panel = notebook.cells[1].outputs
    assert "run curve" in line.data["text/plain"]
    assert panel.data["text/plain"].startswith("FINISHED")
    saved = nbformat.writes(notebook)
    assert "RUNNING" not in saved
    assert "widget" not in saved
    html, _ = HTMLExporter().from_notebook_node(notebook)
    assert "FINISHED" in html
    assert 'alt="loss: 1 at step 0, 0.05 at step 19"' in html
    assert "data:image/svg+xml," in html


def test_a_failing_cell_ends_its_output_as_failed(k):
    reply = k.run("%%track it\nimport time\ntime.sleep(1)\n1 / 0")
    assert reply.error == "ZeroDivisionError"
    assert reply.count("error") == 1
    assert _shown(reply)[-1][1]["text/plain"].startswith("FAILED")


def test_a_run_over_many_cells_is_shown_where_it_was_opened(k):
    opened = k.run("%track on long")
    ((_, first),) = _shown(opened)
    assert first["text/plain"].startswith("RUNNING")
    shown_as = opened.outputs[0]["content"]["transient"]["display_id"]
    reply = k.run(
        "import time\nfor i in range(3):\n"
        "    %track log loss=i --step i\n    time.sleep(0.6)"
    )
    assert _shown(reply, "display_data") == []
    updates = [m for m in reply.outputs if m["msg_type"] == "update_display_data"]
    assert {m["content"]["transient"]["display_id"] for m in updates} == {shown_as}
    assert "loss" in updates[-1]["content"]["data"]["text/plain"]
    closed = k.run("%track off")
    assert _shown(closed)[-1][1]["text/plain"].startswith("FINISHED")
    threads = k.run("import threading\n[t.name for t in threading.enumerate()]")
    assert "nbmlops-live" not in threads.text


@pytest.mark.parametrize(
    "code",
    [
        "time.sleep(60)",
        "await asyncio.sleep(60)",
        "await asyncio.sleep(0)\ntime.sleep(60)",
    ],
)
def test_a_cell_whose_budget_is_used_up_is_interrupted_with_the_reason(k, code):
    began = time.monotonic()
    reply = k.run(f"%%track it --budget 1s\nimport asyncio, time\n{code}")
    assert time.monotonic() - began < 30
    assert (reply.status, reply.error) == ("error", "RunKilled")
    assert reply.text.count("RunKilled: budget of 1 s used up") == 1
    assert k.run("1 + 1").status == "ok"
    (run,) = list_runs(connect())
    assert run.status == "KILLED"
    assert run.tags["nbmlops.ended_because"] == "budget of 1 s used up"


def test_an_awaiting_cell_that_is_interrupted_answers_at_once(k):
    sent = k.send("%%track it\nimport asyncio\nprint('now')\nawait asyncio.sleep(60)")
    k.await_text("now")
    time.sleep(1)
    k.interrupt()
    assert k.reply_to(sent, timeout=20)["ename"] == "CancelledError"
    (run,) = list_runs(connect())
    assert run.status == "KILLED"


def test_memory_beyond_the_budget_ends_the_cell_and_the_kernel_goes_on(k):
    reply = k.run(
        "%%track it --budget 600MB 60s\nimport time\nheld = []\n"
        "while True:\n    held.append(bytearray(5_000_000)); time.sleep(0.01)"
    )
    assert reply.error == "RunKilled"
    assert k.run("len(held) > 10").text == "True"
    (run,) = list_runs(connect())
    assert run.status == "KILLED"
    assert run.tags["nbmlops.ended_because"].startswith("budget of 600 MB: 6")


def test_a_session_is_killed_in_the_cell_that_uses_its_budget_up(k):
    k.run("import time\n%track on long --budget 1.5s")
    assert k.run("time.sleep(1)").status == "ok"
    time.sleep(1)  # nobody works: not charged
    assert k.run("0").status == "ok"
    assert k.run("time.sleep(60)").error == "RunKilled"
    assert "none open" in k.run("%track").text
    (run,) = list_runs(connect())
    assert run.tags["nbmlops.ended_because"] == "budget of 1.5 s used up"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--budget soon", "'soon' is no budget"),
        ("--budget 90s 2h", "'2h' is a second time"),
        ("--budget 5MB", "already, more than the budget of 5 MB"),
    ],
)
def test_a_bad_budget_is_refused_before_the_cell_runs(shell, runs, line, words):
    result = shell.run_cell(f"%%track it {line}\nran = True")
    assert words in str(result.error_in_exec)
    assert "ran" not in shell.user_ns
    assert runs() == ()


def _executed(project, sources):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in sources]
    )
    resources = {"metadata": {"path": str(project)}}
    NotebookClient(notebook, kernel_name="python3", resources=resources).execute()
    return notebook
