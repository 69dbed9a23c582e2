"""Model folders: what is written, what is read, and what is refused."""

import ast
import contextlib
import importlib
import importlib.metadata
import inspect
import json
import pickle
import subprocess
import sys
import textwrap
from decimal import Decimal
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import scipy.stats
import skops.io
import yaml
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.experimental import (  # noqa: F401 - they join all_estimators
    enable_halving_search_cv,
    enable_iterative_imputer,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import RandomizedSearchCV
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from nbmlops.entities import Column
from nbmlops.errors import NotFoundError, UsageError
from nbmlops.scoring import signature as signatures
from nbmlops.scoring.example import read_example
from nbmlops.scoring.inference import record_example
from nbmlops.store.models.files import load_model, pin, pins, read_signature, save_model
from nbmlops.store.models.trusted_types import TRUSTED_TYPES, is_harmless
from tests.crafted import any_model, crafted, node, plant, text


def infer_signature(model, data):
    return signatures.read_signature(record_example(model, data).fields)


def stored_rows(folder: Path) -> dict[str, Any] | None:
    """Return the example of a model as a table."""
    example = read_example(folder)
    return example.table() if example else None


def test_saving_leaves_no_trace_in_the_model(tmp_path: Path) -> None:
    rows = np.arange(40.0).reshape(20, 2)
    neighbors = KNeighborsClassifier(algorithm="kd_tree").fit(rows, [0, 1] * 10)
    before = joblib.hash(neighbors)  # a tree counts how often it is asked
    save_model(neighbors, tmp_path, rows)
    assert joblib.hash(neighbors) == before
    neighbors.predict(rows[:1])
    assert joblib.hash(neighbors) != before


def test_a_folder_keeps_the_model_its_signature_and_its_example(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": range(20, 30), "income": [1.5] * 9 + [np.nan]})
    frame["job"] = pd.Categorical(["fixed", "free"] * 5)
    model = make_pipeline(
        make_column_transformer((StandardScaler(), ["age"]), remainder="drop"),
        LogisticRegression(),
    ).fit(frame, ["no", "yes"] * 5)
    save_model(model, tmp_path, frame)
    assert list(load_model(tmp_path).predict(frame)) == list(model.predict(frame))
    signature = read_signature(tmp_path)
    assert signature == infer_signature(model, frame)
    assert signature.inputs == (
        Column(name="age", type="long"),
        Column(name="income", type="double", is_required=False),
        Column(name="job", type="string"),
    )
    assert signature.outputs == (Column(name="", type="string"),)
    assert stored_rows(tmp_path) == {
        "columns": ["age", "income", "job"],
        "data": [[20 + i, 1.5, ["fixed", "free"][i % 2]] for i in range(5)],
    }


@pytest.mark.parametrize(
    ("values", "kind", "is_required", "cells"),
    [
        ([1, 2], "long", True, [1, 2]),
        (pd.array([1, None], "Int64"), "long", False, [1, None]),
        (pd.array([1, None], "Int16"), "integer", False, [1, None]),
        (np.array([1, 2], "uint8"), "integer", True, [1, 2]),
        (np.array([1, 2], "uint32"), "long", True, [1, 2]),
        (np.array([0.5, np.inf], "float32"), "float", True, [0.5, None]),
        ([0.5, 1], "double", True, [0.5, 1]),
        ([Decimal("0.5"), None], "double", False, [0.5, None]),
        ([True, False], "boolean", True, [True, False]),
        (pd.array([True, None], "boolean"), "boolean", False, [True, None]),
        (["a", None], "string", False, ["a", None]),
        (pd.Categorical(["a", None]), "string", False, ["a", None]),
        (pd.Categorical([3, 4]), "long", True, [3, 4]),
        ([b"a", b"b"], "binary", True, ["YQ==", "Yg=="]),
        (pd.to_datetime(["2026-01-02", None]), "datetime", False,
         ["2026-01-02T00:00:00", None]),
        (pd.to_datetime(["2026-01-02"] * 2, utc=True), "datetime", True,
         ["2026-01-02T00:00:00+00:00"] * 2),
        (pd.to_timedelta([1, 2], "D"), "any", False, ["P1DT0H0M0S", "P2DT0H0M0S"]),
        ([[1], [2, 3]], "any", False, [[1], [2, 3]]),
        ([None, None], "any", False, [None, None]),
        ([1, "a"], "any", False, [1, "a"]),
    ],
)  # fmt: skip
def test_each_kind_of_column_has_a_type_and_is_json(
    tmp_path: Path, values: Any, kind: str, is_required: bool, cells: list[object]
) -> None:
    frame = pd.DataFrame({"x": pd.Series(values)})
    model = any_model()
    save_model(model, tmp_path, frame)
    column = Column(name="x", type=kind, is_required=is_required)
    assert read_signature(tmp_path).inputs == (column,)
    text = (tmp_path / "input_example.json").read_text(encoding="utf-8")
    document = json.loads(text, parse_constant=pytest.fail)
    assert document == {"columns": ["x"], "data": [[cell] for cell in cells]}


def test_a_value_missing_beyond_the_stored_rows_makes_the_column_optional() -> None:
    frame = pd.DataFrame({"x": [1.0] * 1000 + [np.nan]})
    assert not infer_signature(any_model(), frame).inputs[0].is_required
    fitted = LinearRegression().fit(frame[:9], range(9))
    assert infer_signature(fitted, frame.to_numpy()).inputs == (
        Column(name="x", type="double", is_required=False),
    )


@pytest.mark.parametrize(
    "rows",
    [
        np.array([[1, 2], [3, 4], [5, 7]]),
        scipy.sparse.csc_matrix([[1, 2], [3, 4], [5, 7]]),
        [[1, 2], [3, 4], [5, 7]],
        pd.DataFrame([[1, 2], [3, 4], [5, 7]]),
    ],
    ids=["array", "sparse", "lists", "frame without names"],
)
def test_rows_without_names_have_positions(tmp_path: Path, rows: Any) -> None:
    model = LinearRegression().fit(rows, [1, 2, 3])
    save_model(model, tmp_path, rows)
    signature = read_signature(tmp_path)
    assert signature.inputs == (
        Column(name="0", type="long", is_required=False),
        Column(name="1", type="long", is_required=False),
    )
    assert signature.outputs == (Column(name="", type="double"),)
    example = stored_rows(tmp_path)
    assert example == {"columns": ["0", "1"], "data": [[1, 2], [3, 4], [5, 7]]}


def test_texts_are_one_column_and_arrays_get_the_names_the_model_knows(
    tmp_path: Path,
) -> None:
    texts = pd.Series(["good day", "bad day"])
    save_model(
        make_pipeline(CountVectorizer(), MultinomialNB()).fit(texts, [1, 0]),
        tmp_path,
        texts,
    )
    column = Column(name="0", type="string", is_required=False)
    assert read_signature(tmp_path).inputs == (column,)
    assert stored_rows(tmp_path)["data"] == [["good day"], ["bad day"]]
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [0.0, 1.0]})
    save_model(LinearRegression().fit(frame, [1, 2]), tmp_path, frame.to_numpy())
    assert stored_rows(tmp_path)["columns"] == ["a", "b"]


def test_only_the_columns_the_model_takes_are_kept(tmp_path: Path) -> None:
    frame = pd.DataFrame({"target": [1, 2], "a": [1.0, 2.0]})
    save_model(LinearRegression().fit(frame[["a"]], frame["target"]), tmp_path, frame)
    assert stored_rows(tmp_path)["columns"] == ["a"]


def test_two_outputs_are_two_columns() -> None:
    rows = np.arange(8.0).reshape(4, 2)
    assert infer_signature(LinearRegression().fit(rows, rows), rows).outputs == (
        Column(name="0", type="double"),
        Column(name="1", type="double"),
    )


def test_an_example_the_model_cannot_predict_is_refused(tmp_path: Path) -> None:
    model = LinearRegression().fit([[1.0], [2.0]], [1, 2])
    with pytest.raises(UsageError, match="LinearRegression cannot predict the example"):
        save_model(model, tmp_path, [[1.0, 2.0]])


def test_no_example_means_no_signature(tmp_path: Path) -> None:
    save_model(any_model(), tmp_path)
    assert read_signature(tmp_path) is None
    assert read_example(tmp_path) is None


def test_pins_are_the_installed_versions_and_name_pandas_for_a_frame() -> None:
    plain = pins(["sklearn.tree._tree.Tree", "functools.partial"])
    assert [pin.split("==")[0] for pin in plain] == [
        "mlflow",
        "numpy",
        "scikit-learn",
        "scipy",
        "skops",
    ]
    assert f"pandas=={pd.__version__}" in pins([], pd.DataFrame())


def test_what_mlflow_itself_writes_is_read(tmp_path: Path) -> None:
    import mlflow

    frame = pd.DataFrame({"a": [1.0, 2.0, None], "b": [1, 2, 3]})
    model = DummyClassifier().fit([[0], [1]], [0, 1])
    mlflow.sklearn.save_model(
        model, tmp_path / "m", input_example=frame, pip_requirements=["x"]
    )
    assert isinstance(load_model(tmp_path / "m"), DummyClassifier)
    assert read_signature(tmp_path / "m").inputs == (
        Column(name="a", type="double", is_required=False),
        Column(name="b", type="long"),
    )
    assert stored_rows(tmp_path / "m")["data"] == [[1.0, 1], [2.0, 2], [None, 3]]


def test_nothing_of_mlflow_is_imported_to_read_a_model(tmp_path: Path) -> None:
    save_model(any_model(), tmp_path, [[0], [1]])
    code = (
        "import pathlib, sys\n"
        "from nbmlops.scoring import example\n"
        "from nbmlops.store.models import files\n"
        "assert not {'sklearn', 'skops', 'pandas'} & set(sys.modules)\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "files.load_model(folder), files.read_signature(folder)\n"
        "example.read_example(folder)\n"
        "assert 'mlflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)


INSTALLED = [name for name in TRUSTED_TYPES if not name.startswith("catboost.")]
"""All but those of CatBoost, which has an environment of its own for its size."""


def test_every_trusted_type_is_what_its_distribution_installed() -> None:
    owners = importlib.metadata.packages_distributions()
    for name in INSTALLED:
        module_name, _, attribute = name.rpartition(".")
        module = importlib.import_module(module_name)
        assert hasattr(module, attribute), name
        top = module_name.partition(".")[0]
        if not TRUSTED_TYPES[name]:
            assert top in sys.stdlib_module_names, name
            continue
        distribution = pin(TRUSTED_TYPES[name]).partition("==")[0]
        assert owners[top] == [distribution], name
        installed = importlib.metadata.distribution(distribution).locate_file(top)
        assert Path(str(module.__file__)).is_relative_to(str(installed)), name


def test_every_estimator_is_trusted_whatever_was_imported_before_skops() -> None:
    code = (
        "from skops.io import _trusted_types as types\n"
        "print(*types.SKLEARN_ESTIMATOR_TYPE_NAMES)"
    )
    asked = [sys.executable, "-c", code]
    known = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    names = {f"{cls.__module__}.{cls.__name__}" for _, cls in all_estimators()}
    assert names <= {*known.split(), *TRUSTED_TYPES}
    assert [name for name in names if not is_harmless(name)] == []


@pytest.mark.parametrize(
    "name",
    [
        "sklearn.base.BaseEstimator",
        "sklearn.utils._mocking.CheckingClassifier",  # an estimator that calls
        "sklearn.utils._testing.assert_run_python_script_without_output",
        "sklearn.pipeline.make_pipeline",
        "sklearn.nothing.Here",
        "sklearn.tests.test_base.MyEstimator",
        "os.system",
    ],
)
def test_what_scikit_learn_shows_as_no_estimator_is_not_trusted(name: str) -> None:
    assert not is_harmless(name)


def test_a_process_of_endpoints_imports_no_more_of_scikit_learn_than_a_model_needs(
    tmp_path: Path,
) -> None:
    rows = np.arange(40.0).reshape(20, 2)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    save_model(model.fit(rows, [0, 1] * 10), tmp_path, rows)
    code = """
import sys
from pathlib import Path
from sklearn.utils import all_estimators
from nbmlops.store.models import skops_format
skops_format.import_skops()
print(skops_format.load(Path(sys.argv[1], "model.skops")).predict([[0.0, 1.0]]))
assert "sklearn.cross_decomposition" not in sys.modules
assert sys.modules["sklearn.utils"].all_estimators is all_estimators
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_no_trusted_type_or_its_bases_execute_what_they_hold() -> None:
    risky = {"eval", "exec", "compile", "__import__", "system", "Popen", "loads"}
    harmless = {"json.loads", "re.compile", "self.get_booster().eval"}
    parts: set[Any] = set()
    for name in INSTALLED:
        module_name, _, attribute = name.rpartition(".")
        held = getattr(importlib.import_module(module_name), attribute)
        parts |= {*held.__mro__} if isinstance(held, type) else {inspect.unwrap(held)}
    for part in parts:
        try:
            source = inspect.getsource(part)
        except (OSError, TypeError):  # compiled
            continue
        called = {
            getattr(node.func, "id", getattr(node.func, "attr", ""))
            for node in ast.walk(ast.parse(textwrap.dedent(source)))
            if isinstance(node, ast.Call) and ast.unparse(node.func) not in harmless
        }
        assert not called & risky, part


# Hostile files.


def calls(name: str, argument: str) -> dict[str, dict[str, Any]]:
    """Return the ways a file can have ``name`` called with ``argument``."""
    arguments = node("TupleNode", "builtins.tuple", content=[text(argument)])
    kind = node("TypeNode", name)
    keys = node("ListNode", "builtins.list", content=[kind])
    empty = node("DictNode", "builtins.dict", content={}, key_types=keys)
    return {
        "constructor": node("ConstructorFromReduceNode", name, content=arguments),
        "key type": node(
            "DictNode", "builtins.dict", content={argument: text("")}, key_types=keys
        ),
        "list": node("ListNode", name, content=[text(argument)]),
        "loss": node("LossNode", name, content=empty, __reduce__={"args": arguments}),
        "factory": node(
            "DefaultDictNode",
            "collections.defaultdict",
            content={"main": empty, "default_factory": node("FunctionNode", name)},
        ),
    }


@pytest.mark.parametrize("way", ["constructor", "key type", "list", "loss", "factory"])
@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("os.system", "touch {canary}"),
        ("posix.system", "touch {canary}"),
        ("builtins.eval", "open({canary!r}, 'w')"),
        ("builtins.exec", "open({canary!r}, 'w')"),
        ("numpy.testing._private.utils.runstring", "open({canary!r}, 'w')"),
        ("sklearn.utils._testing.os.system", "touch {canary}"),
        ("joblib.numpy_pickle.load", "{canary}"),
        ("pathlib.Path", "{canary}"),
    ],
)
def test_a_file_that_names_a_dangerous_function_is_refused(
    tmp_path: Path, name: str, argument: str, way: str
) -> None:
    canary = tmp_path / "canary"
    content = crafted(calls(name, argument.format(canary=str(canary)))[way])
    folder = tmp_path / "model"
    folder.mkdir()
    plant(folder, content, skops_trusted_types=[name])
    with pytest.raises(UsageError, match=rf"holds {name}.*any code"):
        load_model(folder)
    assert not canary.exists()


def template(canary: Path) -> dict[str, Any]:
    """Return a scipy distribution: it executes a template that is part of its state."""
    keys = node("ListNode", "builtins.list", content=[node("TypeNode", "builtins.str")])
    code = {"_parse_arg_template": text(f"open({str(canary)!r}, 'w')")}
    state = node("DictNode", "builtins.dict", content=code, key_types=keys)
    return node("ObjectNode", "scipy.stats._continuous_distns.norm_gen", content=state)


def test_a_distribution_that_executes_its_state_is_refused(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    folder = tmp_path / "model"
    folder.mkdir()
    name = "scipy.stats._continuous_distns.norm_gen"
    plant(folder, crafted(template(canary)), skops_trusted_types=[name])
    with pytest.raises(UsageError, match=f"holds {name}"):
        load_model(folder)
    assert not canary.exists()


def test_the_crafted_files_do_run_where_their_own_list_is_believed(
    tmp_path: Path,
) -> None:
    canary = tmp_path / "canary"
    ways = calls("posix.system", f"touch {canary}")
    schemas = [ways[way] for way in ("constructor", "key type", "loss")]
    for schema in (*schemas, template(canary)):
        content = crafted(schema)
        with contextlib.suppress(TypeError, KeyError):
            skops.io.loads(content, trusted=skops.io.get_untrusted_types(data=content))
        assert canary.exists(), schema
        canary.unlink()


class Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self.canary), "w"))


@pytest.mark.parametrize("form", ["cloudpickle", "pickle", None, "skops", "joblib"])
def test_a_pickled_model_is_refused_unread(tmp_path: Path, form: str | None) -> None:
    canary = tmp_path / "canary"
    folder = tmp_path / "model"
    folder.mkdir()
    plant(folder, pickle.dumps(Payload(canary)), pickled_model="model.pkl")
    document = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    document["flavors"]["sklearn"]["serialization_format"] = form
    if form is None:  # as older versions of MLflow wrote it
        del document["flavors"]["sklearn"]["serialization_format"]
    (folder / "MLmodel").write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(UsageError) as refusal:
        load_model(folder)
    reason = "cannot be read" if form == "skops" else f"saved with {form or 'pickle'!r}"
    assert reason in refusal.value.problem
    assert "Log it again" in refusal.value.fix
    assert not canary.exists()


@pytest.mark.parametrize("flavor", ["pytorch", "keras"])
def test_a_network_is_refused_unread_where_it_is_not_trusted(
    tmp_path: Path, flavor: str
) -> None:
    canary = tmp_path / "canary"
    (folder := tmp_path / "model" / "data").mkdir(parents=True)
    (folder / "model.pth").write_bytes(pickle.dumps(Payload(canary)))
    module = f"mlflow.{flavor}"
    flavors = {
        flavor: {"model_data": "data"},
        "python_function": {"loader_module": module, "data": "data"},
    }
    described = yaml.safe_dump({"flavors": flavors})
    (folder.parent / "MLmodel").write_text(described, encoding="utf-8")
    with pytest.raises(UsageError, match="any code when it is loaded") as refusal:
        load_model(folder.parent, ("shop", "__main__"))
    assert "trust=True" in refusal.value.fix
    assert not canary.exists()


def test_the_code_a_folder_brings_is_not_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    folder = tmp_path / "model"
    (folder / "code").mkdir(parents=True)
    save_model(DummyClassifier().fit([[0], [1]], [0, 1]), folder)
    evil = f"open({str(canary)!r}, 'w')\n"
    (folder / "code" / "evil.py").write_text(evil, encoding="utf-8")
    (folder / "code" / "sklearn.py").write_text(evil, encoding="utf-8")
    document = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    document["flavors"]["python_function"] |= {"loader_module": "evil", "code": "code"}
    document["flavors"]["sklearn"]["code"] = "code"
    (folder / "MLmodel").write_text(yaml.safe_dump(document), encoding="utf-8")
    assert isinstance(load_model(folder), DummyClassifier)
    assert not canary.exists()


@pytest.mark.parametrize(
    "name", ["../outside.skops", "/etc/passwd", "..", "", "absent.skops"]
)
def test_a_model_file_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    save_model(any_model(), folder)
    (folder / "model.skops").rename(tmp_path / "outside.skops")
    mlmodel = folder / "MLmodel"
    changed = mlmodel.read_text(encoding="utf-8").replace("model.skops", repr(name))
    mlmodel.write_text(changed, encoding="utf-8")
    with pytest.raises(UsageError, match="which is not in it"):
        load_model(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        crafted({}),
        crafted({"protocol": 99}),
        crafted(node("NoSuchNode", "a.b")),
        crafted(node("CachedNode", "a.b", __id__=7)),
        crafted(node("NdArrayNode", "numpy.ndarray", type="numpy", file="gone.npy")),
    ],
)
def test_a_damaged_file_is_refused_with_the_reason(
    tmp_path: Path, content: bytes
) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_model(plant(tmp_path, content))


def test_a_truncated_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    model = DecisionTreeClassifier().fit([[0], [1]], [0, 1])
    save_model(model, tmp_path)
    path = tmp_path / "model.skops"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(UsageError, match="cannot be read"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "[]", "flavors: [", "\0", "a: !!python/name:os.system"]
)
def test_a_damaged_mlmodel_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "MLmodel").write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=r"MLmodel (cannot be read|is not a table)"):
        read_signature(tmp_path)


@pytest.mark.parametrize("content", ["{}", "flavors: {spark: {}}"])
def test_another_kind_of_model_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "MLmodel").write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match="not one of scikit-learn's"):
        load_model(tmp_path)


@pytest.mark.parametrize("content", ["{", "7", '{"data": {}}', "[]"])
def test_a_damaged_example_is_no_example(tmp_path: Path, content: str) -> None:
    save_model(any_model(), tmp_path, [[0], [1]])
    (tmp_path / "input_example.json").write_text(content, encoding="utf-8")
    assert read_example(tmp_path) is None


def test_a_folder_without_a_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="MLmodel is missing"):
        read_example(tmp_path)


class Own(StandardScaler):
    """A class that only this file defines."""


@pytest.mark.parametrize(
    ("model", "held"),
    [
        (FunctionTransformer(lambda x: x), "<lambda>"),
        (make_pipeline(Own()), "Own"),
        (FunctionTransformer(eval), "builtins.eval"),
        (FunctionTransformer(np.vectorize(abs)), "vectorize"),
        (make_column_selector(dtype_include=Decimal), "decimal.Decimal"),
    ],
)
def test_what_only_pickle_could_store_is_refused_by_name(
    tmp_path: Path, model: object, held: str
) -> None:
    with pytest.raises(UsageError, match=f"without pickle: .*{held}") as refusal:
        save_model(model, tmp_path)
    assert refusal.value.fix
    assert not list(tmp_path.iterdir())


def test_a_search_that_cannot_be_stored_points_to_its_best_estimator(
    tmp_path: Path,
) -> None:
    search = RandomizedSearchCV(
        LogisticRegression(), {"C": scipy.stats.uniform(0.1, 1)}, n_iter=2, cv=2
    ).fit([[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1])
    with pytest.raises(UsageError, match="without pickle") as refusal:
        save_model(search, tmp_path)
    assert "best_estimator_" in refusal.value.fix
    save_model(search.best_estimator_, tmp_path)


def test_column_without_gaps_is_optional_when_the_model_predicts_gaps() -> None:
    frame = pd.DataFrame({"x": [1.0, 2, 3, 4], "kind": ["a", "b", "a", "b"]})
    takes = make_pipeline(
        make_column_transformer(
            (SimpleImputer(), ["x"]), (OneHotEncoder(handle_unknown="ignore"), ["kind"])
        ),
        LogisticRegression(),
    ).fit(frame, [0, 1, 0, 1])
    assert [c.is_required for c in infer_signature(takes, frame).inputs] == [False] * 2
    refuses = LogisticRegression().fit(frame[["x"]], [0, 1, 0, 1])
    assert infer_signature(refuses, frame[["x"]]).inputs[0].is_required
