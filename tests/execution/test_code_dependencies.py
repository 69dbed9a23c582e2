import json
import shutil
import sys
import sysconfig

import pytest

from nbmlops.execution import file_hashes
from nbmlops.execution.file_hashes import Digests
from nbmlops.execution.notebooks.code_dependencies import dependencies_of, read_imports
from nbmlops.pipeline.cache.keys import Packages, changes


@pytest.fixture
def read(project):
    def read(*cells, folder=project):
        found = read_imports(
            cells, folder=folder, project=project, digests=Digests(project / "d")
        )
        return [path.relative_to(project).as_posix() for path in found.files], found

    return read


def test_modules_are_followed_to_what_they_import(read, project):
    (project / "pkg" / "deep").mkdir(parents=True)
    for name, text in {
        "features.py": "from pkg.deep import thing\nimport json, numpy.linalg",
        "pkg/__init__.py": "from . import beside",
        "pkg/beside.py": "",
        "pkg/other.py": "",
        "pkg/deep/__init__.py": "",
        "pkg/deep/thing.py": "from ..other import x\nimport pandas as pd",
        "unused.py": "",
        "round.py": "import round",
    }.items():
        (project / name).write_text(text, encoding="utf-8")
    files, found = read("import features", "import round")
    assert files == [
        "features.py",
        "pkg/__init__.py",
        "pkg/beside.py",
        "pkg/deep/__init__.py",
        "pkg/deep/thing.py",
        "pkg/other.py",
        "round.py",
    ]
    assert found.packages == ("numpy", "pandas")


def test_scripts_paths_and_late_imports_are_seen(read, project):
    (project / "src").mkdir()
    (project / "notebooks").mkdir()
    for name in ("src/lib.py", "notebooks/script.py", "src/late.py", "src/named.py"):
        (project / name).write_text("", encoding="utf-8")
    files, _ = read(
        "%matplotlib inline\n%run -i script.py",
        "import sys\nsys.path.insert(0, '../src')",
        "def f():\n    import late\n!echo x\nimport importlib\n"
        "importlib.import_module('named')",
        "%%time\nfrom lib import *",
        "%%bash\nimport nothing",
        "this is no Python",
        folder=project / "notebooks",
    )
    assert files == ["notebooks/script.py", "src/late.py", "src/lib.py", "src/named.py"]


def test_what_is_emitted_is_seen_also_in_a_module(read, project):
    (project / "helper.py").write_text("import nbmlops as nm\nnm.emit(b=1)")
    _, found = read("import helper\nemit(a=1)")
    assert found.emitted == {"a", "b"}
    _, found = read("nm.emit(**values)")
    assert found.emitted == {"*"}


def test_await_at_the_top_of_a_cell_is_python():
    assert dependencies_of("import a\nawait a.b()").modules == ["a"]


def test_versions_are_those_of_the_packages_that_are_imported(project):
    import numpy
    import sklearn

    packages = Packages(project, {"argv": [sys.executable]})
    found = packages.versions(["numpy", "sklearn", "no_such_module", "yaml"])
    assert found["numpy"] == numpy.__version__
    assert found["scikit-learn"] == sklearn.__version__
    assert "PyYAML" in found or "pyyaml" in found
    assert len(found) == 3
    again = Packages(project, {"argv": [sysconfig.get_path("scripts") + "/python"]})
    assert again.versions(["numpy"]) == {"numpy": numpy.__version__}


def test_packages_are_looked_through_again_when_one_is_installed(tmp_path):
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    kernel = {"argv": [str(tmp_path / "bin" / "python")]}
    records = tmp_path / "records"
    records.mkdir()

    def install(version):
        info = site / f"thing-{version}.dist-info"
        info.mkdir(parents=True)
        metadata = f"Metadata-Version: 2.1\nName: thing\nVersion: {version}\n"
        (info / "METADATA").write_text(metadata)
        (info / "RECORD").write_text("thing.py,,\n")
        return info

    info = install("1.0")
    (site / "thing.py").touch()
    assert Packages(records, kernel).versions(["thing"]) == {"thing": "1.0"}
    (site / "notebook.ipynb").touch()
    assert Packages(records, kernel).versions(["thing"]) == {"thing": "1.0"}
    assert len([*records.iterdir()]) == 1
    shutil.rmtree(info)
    install("2.0")
    assert Packages(records, kernel).versions(["thing"]) == {"thing": "2.0"}


def test_changes_are_reported_in_words_and_not_all_of_many():
    before = {
        "code": {"": "1"},
        "environment": {"numpy": "1"},
        "inputs": {"a": "1", "b": "1"},
    }
    after = {
        "code": {"": "2"},
        "environment": {"numpy": "2"},
        "inputs": {"a": "2", "c": "1"},
    }
    assert changes(before, before) == ""
    assert changes(before, after) == (
        "code changed, input a changed, input b is gone and 2 more"
    )


@pytest.mark.parametrize("value", [None, [1], {"modules": 1}, "ab", {"sha256": []}])
def test_a_memo_of_another_form_is_as_good_as_none(tmp_path, monkeypatch, value):
    monkeypatch.setattr(file_hashes, "_YOUNG_S", -60.0)
    module = tmp_path / "tools.py"
    module.write_text("import numpy")

    def read():
        digests = Digests(tmp_path / "digests")
        found = read_imports(
            ["import tools"], folder=tmp_path, project=tmp_path, digests=digests
        )
        return found, digests.sha256(module)

    before = read()
    memos = list((tmp_path / "digests").glob("??/*"))
    assert len(memos) == 2
    for memo in memos:
        stamp = json.loads(memo.read_text())["stamp"]
        memo.write_text(json.dumps({"stamp": stamp, "value": value}))
    assert read() == before
