"""Models that hold code of the user's: stored and run when that is trusted."""

import json
import linecache
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from nbmlops.errors import UsageError
from nbmlops.store.models.files import load_model, save_model
from nbmlops.store.models.own_code import ANY

ROWS = np.arange(12.0).reshape(6, 2)
NUMBERS = np.arange(6.0)
PREDICT = """
import json, os, pathlib, sys
import numpy as np, skops.io, sklearn.linear_model, sklearn.pipeline
from nbmlops.errors import UsageError
from nbmlops.store.models.files import load_model
for line in sys.stdin:
    folder, trust, path = json.loads(line)
    if os.fork() == 0:
        sys.path[:0] = path
        try:
            model = load_model(pathlib.Path(folder), tuple(trust))
            said = " ".join(map(str, model.predict(np.arange(12.0).reshape(6, 2))))
        except UsageError as error:
            said = str(error)
        except BaseException as error:
            said = repr(error)
        print(json.dumps(said), flush=True)
        os._exit(0)
    os.wait()
"""

Elsewhere = Callable[..., str]


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    """Return what predicts in a process that knows only the folder, or says why not."""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", PREDICT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
    ) as process:

        def predict(folder: Path, *trust: str, path: tuple[str, ...] = ()) -> str:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps([str(folder), trust, path]) + "\n")
            process.stdin.flush()
            return str(json.loads(process.stdout.readline()))

        yield predict
        process.stdin.close()


def said(model: Pipeline) -> str:
    return " ".join(map(str, model.predict(ROWS)))


def around(step: object) -> Pipeline:
    return make_pipeline(step, Ridge()).fit(ROWS, NUMBERS)


@pytest.fixture
def module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ModuleType]]:
    """Return what writes modules into a folder that can be imported from."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = {*sys.modules}

    def write(name: str, files: dict[str, str]) -> ModuleType:
        for path, source in files.items():
            file = folder / f"{path}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source, encoding="utf-8")
        __import__(name)
        return sys.modules[name]

    yield write
    for name in {*sys.modules} - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Return what runs a cell in a ``__main__`` of the test's own."""
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)

    def run(source: str) -> ModuleType:
        file = f"<cell {len(linecache.cache)}>"
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        exec(compile(source, file, "exec"), vars(main))  # noqa: S102
        return main

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (made := tmp_path / "model").mkdir()
    return made


PARTS = {
    "parts": "from sizes import FACTOR\ndef half(Z):\n    return Z / FACTOR\n",
    "sizes": "FACTOR = 2\n",
    "apart": "UNUSED = 1\n",
}


def test_a_function_of_a_module_is_stored_with_what_it_imports(
    folder: Path,
    module: Callable[..., ModuleType],
    elsewhere: Elsewhere,
) -> None:
    parts = module("parts", PARTS)
    model = around(FunctionTransformer(parts.half))
    save_model(model, folder, ROWS, trust=("parts",))
    stored = sorted(p.name for p in (folder / "code").iterdir())
    assert stored == ["parts.py", "sizes.py"]
    assert elsewhere(folder, "parts") == said(model)


def test_imports_inside_of_packages_are_followed(
    folder: Path,
    module: Callable[..., ModuleType],
    elsewhere: Elsewhere,
) -> None:
    shop = module(
        "shop.prices",
        {
            "shop/__init__": "",
            "shop/prices": "def cheap(Z):\n    from . import late\n"
            "    return Z / late.two()\n",
            "shop/late": "from .deep.down import two\n",
            "shop/deep/__init__": "",
            "shop/deep/down": "import shop.other\ndef two():\n    return 2\n",
            "shop/other": "",
            "shop/unused": "",
        },
    )
    model = around(FunctionTransformer(shop.cheap))
    save_model(model, folder, ROWS, trust=("shop",))
    assert {str(p.relative_to(folder / "code")) for p in folder.rglob("*.py")} == {
        "shop/__init__.py",
        "shop/prices.py",
        "shop/late.py",
        "shop/other.py",
        "shop/deep/__init__.py",
        "shop/deep/down.py",
    }
    assert elsewhere(folder, "shop.prices") == said(model)


def test_an_installed_package_becomes_a_pin_and_no_file(
    folder: Path, module: Callable[..., ModuleType]
) -> None:
    own = module("own", {"own": "import yaml\ndef same(Z):\n    return Z\n"})
    save_model(around(FunctionTransformer(own.same)), folder, trust=("own",))
    assert sorted(p.name for p in (folder / "code").iterdir()) == ["own.py"]
    pins = (folder / "requirements.txt").read_text(encoding="utf-8").split()
    assert any(pin.lower().startswith("pyyaml==") for pin in pins)


def test_mlflow_itself_loads_a_model_with_its_code(
    folder: Path, module: Callable[..., ModuleType]
) -> None:
    parts = module("parts", PARTS)
    model = around(FunctionTransformer(parts.half))
    save_model(model, folder, ROWS, trust=("parts",))
    code = (
        "import sys, mlflow, numpy as np\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "print(*model.predict(np.arange(12.0).reshape(6, 2)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, folder],
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert done.stdout.strip() == said(model), done.stderr


@pytest.mark.parametrize("trust", [(), ("part",), ("parts.half2",), ("__main__",)])
def test_what_is_not_trusted_is_not_stored_and_the_way_is_named(
    folder: Path, module: Callable[..., ModuleType], trust: tuple[str, ...]
) -> None:
    parts = module("parts", PARTS)
    with pytest.raises(UsageError, match=r"holds parts\.half") as refusal:
        save_model(around(FunctionTransformer(parts.half)), folder, ROWS, trust=trust)
    assert '[tool.nbmlops.models] trust = ["parts"]' in refusal.value.fix
    assert not list(folder.iterdir())


@pytest.mark.parametrize("trust", [(), ("other",), ("__main__",)])
def test_what_is_not_trusted_is_not_run_where_it_is_loaded(
    folder: Path,
    module: Callable[..., ModuleType],
    tmp_path: Path,
    trust: tuple[str, ...],
    elsewhere: Elsewhere,
) -> None:
    canary = tmp_path / "canary"
    parts = module("parts", PARTS)
    save_model(around(FunctionTransformer(parts.half)), folder, ROWS, trust=("parts",))
    with (folder / "code" / "parts.py").open("a", encoding="utf-8") as file:
        file.write(f"open({str(canary)!r}, 'w')\n")
    answer = elsewhere(folder, *trust)
    assert "holds parts.half, which could run any code" in answer
    assert '[tool.nbmlops.models] trust = ["parts"]' in answer
    assert not canary.exists()
    elsewhere(folder, "parts")  # what would have been run
    assert canary.exists()


def test_code_beside_a_model_that_holds_none_is_not_run(
    folder: Path,
    tmp_path: Path,
    elsewhere: Elsewhere,
) -> None:
    canary = tmp_path / "canary"
    save_model(Ridge().fit(ROWS, NUMBERS), folder, ROWS)
    (folder / "code").mkdir()
    for name in ("numpy", "sklearn", "nbmlops", "sitecustomize"):
        evil = f"open({str(canary)!r}, 'w')\n"
        (folder / "code" / f"{name}.py").write_text(evil, encoding="utf-8")
    elsewhere(folder, *ANY)
    assert not canary.exists()


CELL = '''
import numpy as np
from math import sqrt
from sklearn.base import BaseEstimator, TransformerMixin
FACTORS = {"a": [1, 2.0], "b": (None, True)}
UNUSED = object()
def factor():
    return FACTORS["a"][1]
class Base(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.mean_ = np.mean(X)
        return self
def keep(f):
    return f
@keep
def half(Z):
    """Half."""
    return np.asarray(Z) / factor() * sqrt(4)
class Own(Base):
    @keep
    def transform(self, X):
        return X - self.mean_
'''


def test_what_a_notebook_defines_is_written_out_as_a_module(
    folder: Path,
    cell: Callable[[str], ModuleType],
    elsewhere: Elsewhere,
) -> None:
    main = cell(CELL)
    model = make_pipeline(FunctionTransformer(main.half), main.Own(), Ridge())
    model.fit(ROWS, NUMBERS)
    source = save_model(model, folder, ROWS, trust=("__main__",)).own_code
    (file,) = (folder / "code").iterdir()
    assert file.read_text(encoding="utf-8") == source
    assert "@keep\ndef half(Z):" in source
    assert "UNUSED" not in source
    assert elsewhere(folder, "__main__") == said(model)
    assert "__main__" in elsewhere(folder)


def test_the_way_from_a_notebook_into_a_module_is_reported_in_a_line(
    folder: Path, cell: Callable[[str], ModuleType]
) -> None:
    with pytest.raises(UsageError, match=r"holds __main__\.half") as refusal:
        save_model(around(FunctionTransformer(cell(CELL).half)), folder, ROWS)
    assert "Move half into a module" in refusal.value.fix
    assert "trust=True" in refusal.value.fix
    assert "\n" not in refusal.value.fix


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("table = object()\ndef f(Z):\n    return Z if table else 0", "f uses table"),
        ("key = 'ghp_" + "a1B2" * 9 + "'\ndef f(Z):\n    return Z if key else 0",
         "code holds a secret"),
        ("f = lambda Z: Z", "<lambda>"),
        ("def g(n):\n    def f(Z):\n        return Z * n\n    return f\nf = g(2)",
         "variables of the function it was defined in"),
        ("def g():\n    def h(Z):\n        return Z\n    return h\nf = g()",
         "no other process"),
    ],
)  # fmt: skip
def test_code_that_cannot_stand_alone_is_refused_with_the_reason(
    folder: Path, cell: Callable[[str], ModuleType], source: str, problem: str
) -> None:
    model = around(FunctionTransformer(cell(source).f))
    with pytest.raises(UsageError, match=problem):
        save_model(model, folder, ROWS, trust=ANY)


def test_a_function_that_was_defined_anew_since_the_fit_is_not_taken_for_it(
    folder: Path, cell: Callable[[str], ModuleType]
) -> None:
    main = cell("def half(Z):\n    return Z / 2\n")
    old = around(FunctionTransformer(main.half))
    cell("def half(Z):\n    return Z / 3\n")
    with pytest.raises(UsageError, match=r"older __main__\.half") as refusal:
        save_model(old, folder, ROWS, trust=ANY)
    assert refusal.value.fix == "Fit the model again."
    new = around(FunctionTransformer(main.half))
    assert "Z / 3" in save_model(new, folder, ROWS, trust=ANY).own_code


@pytest.mark.parametrize("name", ["builtins.eval", "os.system", "numpy.vectorize"])
def test_no_advice_to_trust_what_runs_anything(folder: Path, name: str) -> None:
    module, _, attribute = name.rpartition(".")
    function = getattr(__import__(module), attribute)
    model = make_pipeline(FunctionTransformer(function))
    with pytest.raises(UsageError) as refusal:
        save_model(model, folder)
    assert "trust" not in refusal.value.fix


def test_a_search_is_sent_to_its_best_estimator_where_that_helps(
    folder: Path, module: Callable[..., ModuleType]
) -> None:
    own = module("scores", {"scores": "def own(model, X, y):\n    return 1.0\n"})
    grid = {"C": [1.0, 2.0]}
    labels = NUMBERS > 2
    search = GridSearchCV(LogisticRegression(), grid, scoring=own.own, cv=2)
    with pytest.raises(UsageError, match=r"scores\.own") as refusal:
        save_model(search.fit(ROWS, labels), folder)
    assert "best_estimator_" in refusal.value.fix
    step = module("steps", {"steps": "def same(Z):\n    return Z\n"}).same
    pipeline = make_pipeline(FunctionTransformer(step), LogisticRegression())
    inner = GridSearchCV(pipeline, {"logisticregression__C": [1.0]}, cv=2)
    with pytest.raises(UsageError) as refusal:
        save_model(inner.fit(ROWS, labels), folder)
    assert "best_estimator_" not in refusal.value.fix
    assert '"steps"' in refusal.value.fix


def test_the_loading_process_prefers_the_stored_code(
    folder: Path,
    module: Callable[..., ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    elsewhere: Elsewhere,
) -> None:
    parts = module("parts", PARTS)
    model = around(FunctionTransformer(parts.half))
    save_model(model, folder, ROWS, trust=("parts",))
    expected = said(model)
    changed = Path(str(parts.__file__)).parent
    (changed / "sizes.py").write_text("FACTOR = 1000\n", encoding="utf-8")
    assert elsewhere(folder, "parts", path=(str(changed),)) == expected


def test_a_model_without_own_code_has_none(folder: Path) -> None:
    saved = save_model(Ridge().fit(ROWS, NUMBERS), folder, ROWS, trust=ANY)
    assert saved.own_code == ""
    assert not (folder / "code").exists()
    assert load_model(folder).predict(ROWS).shape == (6,)
