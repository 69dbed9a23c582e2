"""Models that hold code of the project or the notebook, from cell to endpoint."""

import pytest

import nbmlops as nm
from tests.kernels import kernel

_MODULE = """
from sklearn.base import BaseEstimator, TransformerMixin

class Halve(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.n_ = len(X)
        return self

    def transform(self, X):
        return X / 2
"""
_HEAD = """
%load_ext nbmlops
import nbmlops as nm, pandas as pd
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
X, y = pd.DataFrame({"a": [0.0, 1, 2, 3]}), [0, 1, 2, 3]
def third(Z):
    return Z / 3
"""


@pytest.fixture
def _no_endpoint_left(project):
    yield
    for endpoint in nm.endpoints():
        nm.undeploy(endpoint.name)


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.server
@pytest.mark.usefixtures("_no_endpoint_left")
def test_own_code_is_stored_and_served_where_it_is_trusted(project):
    (project / "shop.py").write_text(_MODULE, encoding="utf-8")
    settings = project / "pyproject.toml"
    with kernel(project) as k:
        assert k.run(_HEAD, 120).status == "ok"
        tracked = "%%track {}\nimport shop\nm = make_pipeline({}, Ridge()).fit(X, y)"
        refused = k.run(tracked.format("halved", "shop.Halve()"), 120)
        assert refused.status == "ok"
        assert "holds shop.Halve" in refused.text
        assert '[tool.nbmlops.models] trust = ["shop"]' in refused.text
        settings.write_text('[tool.nbmlops.models]\ntrust = ["shop"]\n', "utf-8")
        assert "not stored" not in k.run(tracked.format("halved", "shop.Halve()")).text
        expected = k.run("print(m.predict(X).tolist())").text
        assert "champion" in k.run("%register halved --alias champion").text
        assert "ready" in k.run("%deploy halved@champion", 120).text
        served = k.run("print(nm.endpoint('halved').predict(X).tolist())").text
    assert served == expected


@pytest.mark.kernel
@pytest.mark.server
@pytest.mark.usefixtures("_no_endpoint_left")
def test_code_of_the_notebook_is_stored_and_run_where_the_user_says_so(project):
    with kernel(project) as k:
        assert k.run(_HEAD, 120).status == "ok"
        cell = (
            "%%track thirds {}\n"
            "m = make_pipeline(FunctionTransformer(third), Ridge()).fit(X, y)"
        )
        assert "Move third into a module" in k.run(cell.format(""), 120).text
        stored = k.run(cell.format("--trust"), 120).text
        assert "return Z / 3" in stored
        k.run("%register thirds")
        refused = k.run("%deploy thirds", 120)
        assert refused.error == "DeployError"
        assert "third, which could run any code when it is loaded" in refused.text
        assert "deploy with --trust" in refused.text
        assert nm.endpoints() == ()
        assert "ready" in k.run("%deploy thirds --trust", 120).text
        expected = k.run("print(m.predict(X).tolist())").text
        served = k.run("print(nm.endpoint('thirds').predict(X).tolist())").text
    assert served == expected
