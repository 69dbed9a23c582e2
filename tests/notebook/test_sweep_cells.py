"""A sweep in a notebook."""

import pytest

from tests.kernels import kernel
from tests.notebooks import write_notebook


@pytest.mark.kernel
def test_a_sweep_shows_how_it_goes_below_its_cell(project):
    write_notebook(
        project / "train.ipynb",
        ["import nbmlops as nm\nnm.emit(auc=C)"],
        parameters="C: float = 1.0",
    )
    with kernel(project) as k:
        k.run("import nbmlops as nm")
        reply = k.run("nm.sweep('train.ipynb', grid={'C': [0.5, 1]}, jobs=1)")
        assert reply.status == "ok", reply.text
        assert reply.count("display_data") == 1
        assert reply.count("update_display_data") >= 4
        assert "2 of 2 ended" in reply.text
        assert "train[C=1.0] *  done" in reply.text
        (result,) = (m for m in reply.outputs if m["msg_type"] == "execute_result")
        assert "<table>" in result["content"]["data"]["text/html"]
        reply = k.run("nm.sweep('train.ipynb', grid={'c': [1]})")
        assert (reply.status, reply.error) == ("error", "UsageError")
        assert "Did you mean 'C'?" in reply.text
