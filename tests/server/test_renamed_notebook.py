"""A notebook that is renamed while its kernel runs."""

import json

import pytest
from jupyter_client import AsyncKernelClient

_FIT = """
import pandas as pd
from sklearn.linear_model import LogisticRegression
X, y = pd.DataFrame({"a": [0.0, 1, 2, 3]}), [0, 0, 1, 1]
"""


@pytest.mark.kernel
async def test_runs_go_by_the_new_name_and_those_before_are_found(
    call, jp_serverapp, jp_fetch, jp_root_dir, store
):
    jp_serverapp.write_server_info_file()
    (jp_root_dir / "first.ipynb").write_text("{}")
    session = {
        "path": "first.ipynb",
        "type": "notebook",
        "name": "",
        "kernel": {"name": "python3"},
    }
    made = await jp_fetch("api", "sessions", method="POST", body=json.dumps(session))
    session = json.loads(made.body)
    kernel_id = session["kernel"]["id"]
    manager = jp_serverapp.kernel_manager.get_kernel(kernel_id)
    client = AsyncKernelClient()
    client.load_connection_info(manager.get_connection_info())
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)

        async def run(code):
            reply = await client.execute_interactive(
                code, timeout=90, output_hook=lambda _: None
            )
            assert reply["content"]["status"] == "ok", reply

        async def newest(**query):
            status, found = await call("GET", "runs/candidates", **query)
            assert status == 200
            newest = [r for r in found["runs"] if r["run_id"] == found["newest"]]
            return [(run["name"], run["source"]) for run in newest]

        await run("%load_ext nbmlops")
        await run(_FIT)
        await run("%%track before\nmodel = LogisticRegression().fit(X, y)")
        (jp_root_dir / "first.ipynb").rename(jp_root_dir / "second.ipynb")
        await jp_fetch(
            "api",
            "sessions",
            session["id"],
            method="PATCH",
            body=json.dumps({"path": "second.ipynb"}),
        )
        assert await newest(notebook="second.ipynb") == []
        assert await newest(notebook="second.ipynb", kernel=kernel_id) == [
            ("before", "first.ipynb")
        ]
        await run("import time; time.sleep(1)")
        await run("%%track after\nmodel = LogisticRegression(C=2).fit(X, y)")
        assert await newest(notebook="second.ipynb") == [("after", "second.ipynb")]
    finally:
        client.stop_channels()
        await jp_fetch("api", "sessions", session["id"], method="DELETE")
        jp_serverapp.remove_server_info_file()
