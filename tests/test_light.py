"""What `import nbmlops` and `%load_ext nbmlops` may cost."""

import json
import subprocess
import sys

import pytest

_HEAVY = ("mlflow", "pandas", "papermill", "ipywidgets", "jinja2", "sklearn")
_READ = "import json, sys; print(json.dumps([m for m in %r if m in sys.modules]))"


@pytest.mark.parametrize(
    "line",
    [
        "import nbmlops",
        "from IPython.core.interactiveshell import InteractiveShell as S; "
        "S.instance().run_line_magic('load_ext', 'nbmlops')",
        "import nbmlops.cli",
        "import nbmlops.server",
    ],
)
def test_loading_imports_nothing_heavy(tmp_path, line):
    done = subprocess.run(
        [sys.executable, "-c", f"{line}; {_READ % (_HEAVY,)}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert loaded <= ({"jinja2"} if "server" in line else set())  # Jupyter's own
