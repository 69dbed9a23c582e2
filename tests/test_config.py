import pytest

from nbmlops.config import explain_settings, find_project, load_settings
from nbmlops.errors import UsageError


@pytest.mark.parametrize("marker", [".nbmlops", ".git", "pyproject.toml"])
def test_project_is_the_nearest_folder_that_marks_one(tmp_path, marker):
    (tmp_path / "a" / marker).mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    assert find_project(tmp_path / "a" / "b" / "c") == tmp_path / "a"


def test_nbmlops_folder_wins_over_a_nearer_repository(tmp_path):
    (tmp_path / ".nbmlops").mkdir()
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    assert find_project(tmp_path / "repo") == tmp_path


def test_environment_wins_over_the_file(project):
    (project / "pyproject.toml").write_text(
        '[tool.nbmlops]\nexperiment = "file"\ndeploy_timeout_s = 5\n', encoding="utf-8"
    )
    from_file = load_settings(project, environ={})
    assert (from_file.experiment, from_file.deploy_timeout_s) == ("file", 5.0)
    both = load_settings(project, environ={"NBMLOPS_EXPERIMENT": "variable"})
    assert both.experiment == "variable"


def test_experiment_is_named_after_the_project_by_default(project):
    assert load_settings(project, environ={}).experiment == "my project"


def test_unknown_setting_names_the_nearest_one(project):
    (project / "pyproject.toml").write_text(
        "[tool.nbmlops]\ndeploy_timeout = 5\n", encoding="utf-8"
    )
    with pytest.raises(UsageError, match="Did you mean 'deploy_timeout_s'"):
        load_settings(project, environ={})


@pytest.mark.parametrize("value", ["soon", "-1", "0"])
def test_setting_of_a_wrong_type_says_where_it_came_from(project, value):
    with pytest.raises(UsageError, match="NBMLOPS_DEPLOY_TIMEOUT_S"):
        load_settings(project, environ={"NBMLOPS_DEPLOY_TIMEOUT_S": value})


@pytest.mark.parametrize("value", ['"../shared"', "[1]", "true"])
def test_data_folders_are_a_list_of_texts(project, value):
    (project / "pyproject.toml").write_text(f"[tool.nbmlops]\ndata_folders = {value}")
    if value.startswith('"'):
        found = load_settings(project, environ={})
        assert found.readable == (project, project.parent / "shared")
    else:
        with pytest.raises(UsageError, match=r"data_folders is .*, not a list of fold"):
            load_settings(project, environ={})


def test_broken_toml_is_named(project):
    (project / "pyproject.toml").write_text("[tool", encoding="utf-8")
    with pytest.raises(UsageError, match=r"pyproject\.toml"):
        load_settings(project, environ={})


def test_prices_come_from_their_table_and_the_environment_wins(project):
    (project / "pyproject.toml").write_text(
        "[tool.nbmlops.cost]\nusd_per_hour = 1.5\nwatts = 40\n", encoding="utf-8"
    )
    cost = load_settings(project, environ={"NBMLOPS_COST_WATTS": "60"}).cost
    assert (cost.usd_per_hour, cost.watts, cost.watts_per_core) == (1.5, 60.0, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool.nbmlops.cost]\nusd_per_our = 1", "Did you mean 'usd_per_hour'"),
        ("[tool.nbmlops.cost]\nwatts = 'many'", r"\[tool.nbmlops.cost\] watts"),
        ("[tool.nbmlops.cost]\nwatts = -1", r"\[tool.nbmlops.cost\] watts"),
        ("[tool.nbmlops]\ncost = 3", "not a table"),
    ],
)
def test_prices_that_cannot_be_are_named(project, text, words):
    (project / "pyproject.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        load_settings(project, environ={})


def test_address_that_mlflow_exports_is_the_default(tmp_path):
    (tmp_path / ".nbmlops").mkdir()
    own = f"sqlite:///{(tmp_path / '.nbmlops/mlflow.db').as_posix()}"
    settings = explain_settings(tmp_path, environ={"MLFLOW_TRACKING_URI": own})
    origins = {name: origin for name, _, origin in settings}
    assert origins["tracking_uri"] == "default"
    assert load_settings(tmp_path, environ={"MLFLOW_TRACKING_URI": own}).home == (
        tmp_path / ".nbmlops"
    )
