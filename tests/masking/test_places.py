"""More than 40 marked secrets in every place nbmlops writes: none is found again."""

import json
import os
import sqlite3
import subprocess
import sys
import traceback
from contextlib import closing
from urllib.parse import quote

import mlflow
import nbformat
import pandas as pd
import pytest
import sqlalchemy
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import nbmlops as nm
from nbmlops.cli.main import invoke
from nbmlops.config import load_settings
from nbmlops.deployment import records
from nbmlops.store import Store, artifacts, connect, embedded
from nbmlops.store.connection import answering
from nbmlops.store.runs import queries
from tests.kernels import kernel
from tests.marked import marked
from tests.ports import free_port

ALL = marked(1)
LINES = [m for m in ALL if "\n" not in m.value]
NAMED = {f"{m.name}_{n}": m for n, m in enumerate(ALL)}


def leaks(project, *reported, among=ALL):
    """Return the secrets in the project's folder, its database or what was reported."""
    texts = {f"reported {n}": str(text) for n, text in enumerate(reported)}
    for path in project.rglob("*"):
        if path.is_file() and ".git" not in path.relative_to(project).parts:
            texts[str(path)] = path.read_bytes().decode("utf-8", "replace")
    database = embedded.database(project / ".nbmlops")
    if database.exists():
        with closing(sqlite3.connect(database)) as connection:
            texts["database"] = "\n".join(connection.iterdump())
    return [
        (m.kind, where, needle)
        for where, text in texts.items()
        for m in among
        for needle in {*m.needles, *(quote(n, safe="") for n in m.needles)}
        if needle in text
    ]


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a notebook outside of the project."""

    def write(*sources, parameters=None):
        cells = [new_markdown_cell("# A step")]
        if parameters is not None:
            cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        cells += [new_code_cell(source) for source in sources]
        kernelspec = {"name": "python3", "display_name": "", "language": "python"}
        path = tmp_path / "outside" / "step.ipynb"
        path.parent.mkdir()
        nbformat.write(
            new_notebook(cells=cells, metadata={"kernelspec": kernelspec}), path
        )
        return path

    return write


def run_step(path, **options):
    """Return a step's run id and all that is reported it; its notebook stays."""
    before, reported = path.read_bytes(), []
    try:
        run_id = nm.run_notebook(path, output="out/step.ipynb", **options).run_id
    except nm.NotebookError as error:
        run_id = error.run_id
        reported = [error, error.problem, error.fix, error.source, error.traceback]
        reported += error._render_traceback_()
    assert path.read_bytes() == before
    return run_id, reported


def test_the_search_finds_what_others_write(project, store):
    mlflow.set_tracking_uri(store.uri)
    with mlflow.start_run():
        mlflow.log_params({name: m.value for name, m in NAMED.items()})
    assert {kind for kind, _, _ in leaks(project)} == {m.kind for m in ALL}


def test_params_tags_and_the_reason_of_a_failure(project):
    tags = {f"tag_{n}": m.said for n, m in enumerate(ALL)}
    params = {name: m.value for name, m in NAMED.items()}
    said = {f"said_{n}": m.said for n, m in enumerate(ALL)}
    with nm.track("it", params=params, tags=tags) as run:
        run.log_params(**said)
        run.log_tags({name: m.value for name, m in NAMED.items()})
    for m in ALL:
        with pytest.raises(ValueError, match="x"), nm.track("failing"):
            raise ValueError(f"x {m.said}")
    nm.track(f"named {LINES[0].value}").__enter__().close()
    assert leaks(project, nm.runs(), nm.runs()._repr_html_()) == []
    assert queries.get_run(run.store, run.run_id).params["note_0"] == "[masked]"


def test_the_context_another_process_gives(project, monkeypatch):
    context = {name: m.value for name, m in NAMED.items()}
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", json.dumps(context))
    with nm.track("it") as run:
        pass
    assert leaks(project) == []
    assert run.store.client.get_run(run.run_id).data.tags["note_0"] == "[masked]"


@pytest.mark.kernel
def test_the_source_of_a_step_and_its_traceback(project, store, write):
    source = "\n".join(f"said_{n} = {m.said!r}" for n, m in enumerate(ALL))
    code = "\n".join(f"{m.name.replace('-', '_')} = {m.value!r}" for m in ALL)
    failing = "def fail(a, b):\n    raise ValueError(a)\n" + "".join(
        f"x_{n} = fail(said_{n}, {m.said!r}) if n == {n} else 0\n"
        for n, m in enumerate(ALL)
    )
    path = write(source, code, f"n = {len(ALL) // 2}\n{failing}")
    run_id, reported = run_step(path)
    assert reported
    assert leaks(project, *reported) == []
    page = artifacts.read_file(store, run_id, "nbmlops/notebook.html").decode()
    assert page.count("[masked]") > 2 * len(ALL)


@pytest.mark.kernel
def test_the_outputs_of_a_step(project, tmp_path, write):
    kept = tmp_path / "kept.json"
    named = {name: m.value for name, m in NAMED.items()}
    kept.write_text(json.dumps({"said": [m.said for m in ALL], "named": named}))
    path = write(
        "import json, sys\nfrom pathlib import Path\n"
        "from IPython.display import HTML, JSON, Markdown, display\n"
        f"kept = json.loads(Path({str(kept)!r}).read_text())",
        "for said in kept['said']:\n"
        "    print(said)\n"
        "    print(said, file=sys.stderr)\n"
        "    print(said[:9], end='', flush=True)\n"
        "    print(said[9:])",
        "for said in kept['said']:\n    display(said, Markdown(said))\n"
        "    display(HTML(f'<p>{said}</p>'))\n"
        "display(JSON(kept['named']))\nkept",
        "raise ValueError('\\n'.join(kept['said']))",
    )
    _, reported = run_step(path)
    assert leaks(project, *reported) == []
    assert nbformat.read("out/step.ipynb", 4).cells[2].outputs


@pytest.mark.kernel
def test_the_parameters_of_a_step(project, write):
    declared = "\n".join(f"{name} = ''" for name in NAMED)
    others = "\n".join(f"{name}_default = {m.value!r}" for name, m in NAMED.items())
    path = write("print(note_0[:3])", parameters=f"{declared}\n{others}")
    params = {name: m.value for name, m in NAMED.items()}
    _, reported = run_step(path, params=params)
    assert leaks(project, *reported) == []
    written = nbformat.read("out/step.ipynb", 4)
    assert written.metadata.papermill.parameters["note_0"] == "[masked]"
    assert 'note_0 = "[masked]"' in written.cells[2].source
    with pytest.raises(nm.UsageError) as raised:
        nm.run_notebook(path, params={f"{name}x": m.value for name, m in NAMED.items()})
    assert leaks(project, raised.value) == []


@pytest.mark.kernel
def test_a_secret_that_a_step_is_given_by_name(project, store, write, monkeypatch):
    value = "swordfish" + " of no known form"
    monkeypatch.setenv("A_TOKEN", value)
    path = write(
        "assert token == other == settings['deep'][0] == "
        + repr(value[::-1])
        + "[::-1]",
        "print(repr(token), token)\nprint('x' + other + 'x')",
        parameters="token: str = ''\nother: str | None = None\nsettings = {}",
    )
    given = {
        "token": nm.secret("A_TOKEN"),
        "other": "secret:A_TOKEN",
        "settings": {"deep": ["secret:A_TOKEN"]},
    }
    run_id, _ = run_step(path, params=given)
    run = queries.get_run(store, run_id)
    assert run.status == "FINISHED"
    assert (run.params["token"], run.params["other"]) == ("secret:A_TOKEN",) * 2
    written = nbformat.read("out/step.ipynb", 4)
    assert 'token = nbmlops.secret("A_TOKEN")' in written.cells[2].source
    assert written.metadata.papermill.parameters == {
        "token": "secret:A_TOKEN", "other": "secret:A_TOKEN",
        "settings": {"deep": ["secret:A_TOKEN"]},
    }  # fmt: skip
    shown = written.cells[-1].outputs[0].text
    assert shown == "<secret A_TOKEN> [masked]\nx[masked]x\n"
    assert not _holding(project, value)
    assert invoke(["run", str(path), "-p", "token", "secret:A_TOKEN"]) == 1
    assert not _holding(project, value)


def _holding(project, value):
    files = [path for path in project.rglob("*") if path.is_file()]
    return [path for path in files if value.encode() in path.read_bytes()]


@pytest.mark.kernel
def test_a_secret_that_a_step_looks_up_itself(project, write, monkeypatch):
    value = "swordfish" + " looked up"
    monkeypatch.setenv("B_TOKEN", value)
    path = write(
        "import nbmlops, os, subprocess, sys\ntoken = nbmlops.secret('B' + '_TOKEN')",
        "print(token.upper().lower())\nraise ValueError(str(token))",
    )
    _, reported = run_step(path)
    assert value not in " ".join(map(str, reported))
    assert not _holding(project, value)


def test_a_secret_that_is_not_there_is_reported_before_a_kernel_starts(project, write):
    path = write("1", parameters="token = ''\nn: int = 1")
    with pytest.raises(nm.NotFoundError, match="NO_TOKEN"):
        nm.run_notebook(path, params={"token": "secret:NO_TOKEN"})
    os.environ["C_TOKEN"] = "swordfish" + " of no int"
    try:
        with pytest.raises(nm.UsageError, match="'n' is 'secret:C_TOKEN'"):
            nm.run_notebook(path, params={"n": "secret:C_TOKEN"})
    finally:
        del os.environ["C_TOKEN"]


@pytest.mark.kernel
def test_a_secret_in_a_tracked_cell(project, store, monkeypatch):
    value = "swordfish" + " in a cell"
    monkeypatch.setenv("D_TOKEN", value)
    with kernel(project) as k:
        k.run("%load_ext nbmlops\nimport nbmlops as nm\ntoken = nm.secret('D_TOKEN')")
        reply = k.run("%%track it -p token part=token[:4]+token[4:]\nx = 1")
        assert reply.status == "ok", reply.text
        k.run(f"%%track failing -t note={LINES[0].value}\nraise ValueError(str(token))")
    runs = list(queries.iterate_runs(store))
    assert {run.name: run.status for run in runs} == {
        "it": "FINISHED",
        "failing": "FAILED",
    }
    assert runs[-1].params == {"token": "secret:D_TOKEN", "part": "[masked]"}
    assert not _holding(project, value)
    assert leaks(project) == []


def test_the_address_of_the_git_remote(project, store):
    def git(*words):
        subprocess.run(["git", *words], cwd=project, check=True, capture_output=True)

    git("init")
    git(
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "commit",
        "--allow-empty",
        "-m",
        "x",
    )
    git("remote", "add", "origin", "https://example.org")
    mlflow.set_tracking_uri(store.uri)
    for m in LINES:
        address = f"https://ada:{quote(m.value, safe='')}@example.org/x.git"
        git("remote", "set-url", "origin", address)
        with nm.track("it"):
            pass
    with mlflow.start_run():
        pass
    assert leaks(project) == []


def test_connection_strings(project, capsys, monkeypatch):
    reported = []
    for m in LINES:
        password = quote(m.value, safe="")
        address = f"ada:{password}@127.0.0.1:{free_port()}"
        uri = f"postgresql+psycopg://{address}/runs"
        store = Store(
            settings=load_settings(environ={"MLFLOW_TRACKING_URI": uri}), uri=uri
        )
        with pytest.raises(nm.StoreError) as raised, answering(store):
            sqlalchemy.create_engine(uri).connect()
        reported += [*raised.value._render_traceback_(), store, store.settings]
        reported += [store.shown_uri, "".join(traceback.format_exception(raised.value))]
        assert store.shown_uri.startswith(
            "postgresql+psycopg://ada:[masked]@127.0.0.1:"
        )
        with pytest.raises(nm.StoreError) as raised, answering(store):
            raise sqlalchemy.exc.ArgumentError(f"out-of-date database schema at {uri}")
        reported.append(raised.value)
        for address in (f"ada:{password}@127.0.0.1:1", f"ada:{m.value}@127.0.0.1:1"):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{address}")
            assert invoke(["runs", "--json"]) in (1, 2)
            assert invoke(["--debug", "runs"]) in (1, 2)
    reported += capsys.readouterr()
    assert leaks(project, *reported) == []


@pytest.mark.server
def test_the_log_of_an_endpoint_and_what_it_answers(project):
    frame = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [1.0, 0, 1, 0]})
    with nm.track("fit") as run:
        run.log_model(LogisticRegression().fit(frame, [0, 1, 0, 1]), frame)
    nm.register("credit", alias="champion")
    endpoint = nm.deploy("credit@champion")
    reported = []
    try:
        for m in ALL:
            with pytest.raises(nm.NbmlopsError) as raised:
                endpoint.predict([{"a": m.said, "b": 1.0, m.said[:200]: 2}])
            reported.append(raised.value)
            with pytest.raises(nm.NbmlopsError) as raised:
                endpoint.send(json.dumps({"dataframe_split": m.said}).encode())
            reported.append(raised.value)
        assert leaks(project, *reported) == []
    finally:
        nm.undeploy("credit")


_LOGGING = """
import json, logging, sys
from pathlib import Path
from nbmlops.serving.log import keep_log
keep_log(Path(sys.argv[1], "log.txt"))
for said in json.loads(Path(sys.argv[2]).read_text()):
    logging.info("now %s", said)
    logging.getLogger("x").error("%r", ValueError(said))
    print(said)
    print(said[:9], end="", flush=True)
    print(said[9:], file=sys.stdout)
    print(said, file=sys.stderr)
    try:
        raise ValueError(said)
    except ValueError:
        logging.exception("failed")
raise ValueError(said)
"""


def test_what_the_process_of_an_endpoint_logs_and_prints(project, tmp_path):
    (tmp_path / "kept.json").write_text(json.dumps([m.said for m in ALL]))
    with (project / "log.txt").open("ab") as log:
        done = subprocess.run(
            [sys.executable, "-c", _LOGGING, project, tmp_path / "kept.json"],
            stdout=log,
            stderr=log,
        )
    assert done.returncode == 1
    written = (project / "log.txt").read_text()
    assert written.count("[masked]") > 5 * len(ALL)
    assert "ValueError" in written.splitlines()[-1]
    assert leaks(project) == []
    for m in ALL:
        (project / "log.txt").write_text(f"2026-01-01 00:00:00,0 ERROR {m.said}\n")
        assert leaks(project / "none", records.last_words(project), among=[m]) == []


def test_what_the_command_tells(project, capsys):
    connect()
    for m in ALL:
        for words in (
            ["runs", "--filter", m.said],
            ["runs", "--json", "-e", m.said],
            ["--debug", "register", m.said],
            ["register", "a", "--run", m.said],
            ["run", f"{m.said}.ipynb", "--json"],
            ["deploy", m.said, "--json"],
        ):
            assert invoke(words) in (1, 2), words
    assert leaks(project, *capsys.readouterr()) == []


def test_the_input_example_of_a_model(project, monkeypatch):
    monkeypatch.setenv("E_TOKEN", "pw'1")
    token = nm.secret("E_TOKEN")
    texts = pd.DataFrame({"text": [f"call {token} now", "b", "c", "d"]})
    model = make_pipeline(
        ColumnTransformer([("text", TfidfVectorizer(), "text")]), LogisticRegression()
    )
    with nm.track("fit") as run:
        run.log_model(model.fit(texts, [0, 1, 0, 1]), texts)
    assert texts.text[0] == "call pw'1 now"
    assert not _holding(project, "pw'1")
    (example,) = project.rglob("input_example.json")
    assert "call [masked] now" in example.read_text()
