"""``project``, and where ``path`` may point."""

import json

import pytest


async def test_the_project_around_the_root(call, project, keep_sample):
    status, document = await call("GET", "project")
    assert status == 200
    assert document == {
        "name": project.name,
        "path": str(project),
        "tracking_uri": f"sqlite:///{project}/.nbmlops/mlflow.db",
        "experiment": project.name,
        "hint": None,
    }
    keep_sample("project", document)


async def test_the_project_around_a_notebook_is_the_nearest_one(call, project):
    (project / "inner/.nbmlops").mkdir(parents=True)
    for path in ("inner", "/inner/", "inner/not there yet.ipynb"):
        _, document = await call("GET", "project", path=path)
        assert document["name"] == "inner"


async def test_an_older_file_store_is_named_with_the_command_that_migrates_it(
    call, project
):
    (project / "mlruns/0").mkdir(parents=True)
    (project / "mlruns/0/meta.yaml").touch()
    _, document = await call("GET", "project")
    assert "mlflow migrate-filestore" in document["hint"]


async def test_a_password_in_the_tracking_uri_is_not_shown(call, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ada:secret@localhost/db")
    _, document = await call("GET", "project")
    assert document["tracking_uri"] == "postgresql://ada:[masked]@localhost/db"


async def test_a_setting_that_cannot_be_read_is_reported(call, project):
    (project / "pyproject.toml").write_text("[tool.nbmlops]\nexperment = 'x'\n")
    status, error = await call("GET", "project")
    assert (status, error["error"]) == (400, "UsageError")
    assert "Did you mean 'experiment'?" in error["message"]


@pytest.fixture
def outside(project):
    """Return projects beside the root that must not be reached."""
    for name in (f"{project.name}-secret", "canary"):
        folder = project.parent / name
        (folder / ".nbmlops").mkdir(parents=True)
    (project / "way out").symlink_to(project.parent / "canary")
    (project / "loop").symlink_to("loop")
    return project.parent


OUTSIDE = [
    "..",
    "../canary",
    "../my project-secret",
    "/../my project-secret/x.ipynb",
    "notebooks/../../canary",
    "notebooks/./.././../canary/x.ipynb",
    "way out",
    "way out/x.ipynb",
    "way out/../canary",
    "loop",
    "x" * 5000,
]


async def test_a_path_cannot_leave_the_root(call, outside):
    for route in ("project", "models", "endpoints", "events"):
        for path in OUTSIDE:
            status, error = await call("GET", route, path=path)
            assert (status, error["error"]) == (400, "UsageError"), (route, path)
            assert "canary" not in json.dumps(error).replace(path, "")


async def test_a_path_is_taken_as_text_below_the_root(call, project):
    for path in ("/etc", "~", "$HOME", "file:///etc", "C:\\", "%2e%2e", "a\0b"):
        status, document = await call("GET", "project", path=path)
        assert (status, document["path"]) == (200, str(project)), path


async def test_what_nobody_foresaw_is_reported_in_the_log_alone(
    call, project, monkeypatch, caplog
):
    def fail(home):
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("nbmlops.store.embedded.database", fail)
    status, error = await call("GET", "models")
    assert status == 500
    assert error == {
        "error": "Error",
        "message": "Something in nbmlops went wrong.",
        "fix": "See the Jupyter server's log for the cause.",
    }
    assert "a secret detail" in caplog.text
    assert "Traceback" in caplog.text
