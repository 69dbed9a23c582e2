import pytest
from IPython.core.interactiveshell import InteractiveShell


@pytest.fixture
def shell(project):
    """Return a shell in this process with nbmlops loaded."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "nbmlops")
    yield shell
    shell.run_line_magic("unload_ext", "nbmlops")
    shell.reset()
    InteractiveShell.clear_instance()


@pytest.fixture
def runs(shell):
    """Return a function that reads the runs of the project, oldest first."""
    from nbmlops.store import connect
    from nbmlops.store.runs.queries import list_runs

    return lambda: list_runs(connect()).items[::-1]
