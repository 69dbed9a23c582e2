"""Which version an alias named at any time, whoever moved it."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

import nbmlops as nm
from nbmlops.cli.main import invoke
from nbmlops.config import load_settings
from nbmlops.errors import NotFoundError, StoreError, UsageError
from nbmlops.governance.audit_log import AuditLog
from nbmlops.server.changes import Changes
from nbmlops.store import connect
from tests.registries import add_versions
from tests.servers import serving


@pytest.fixture
def client(project):
    return add_versions("churn", 4)


def test_who_moved_an_alias_and_why_is_said(client, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")
    nm.promote("churn", 1)
    nm.promote("churn", 3, reason="better <b>")
    view = nm.history("churn")
    assert view.version == 3
    first, last = view.periods
    assert (first.version, first.who, first.why) == (1, "ada", "")
    assert first.until == last.since
    assert (last.until, last.why, last.is_noticed) == (None, "better <b>", False)
    shown = repr(view)
    assert "champion of churn" in shown
    assert "now" in shown
    assert "better &lt;b&gt;" in view._repr_html_()
    frame = view.frame()
    assert list(frame["version"]) == [1, 3]
    assert frame["until"].isna().tolist() == [False, True]
    assert str(frame["since"].dtype).endswith("UTC]")


def test_moves_and_removals_by_a_stock_client_are_noticed_and_marked(client):
    nm.promote("churn", 1)
    client.set_registered_model_alias("churn", "champion", "2")
    assert [(p.version, p.is_noticed, p.who == "") for p in nm.history("churn").periods
            ] == [(1, False, False), (2, True, True)]  # fmt: skip
    client.delete_registered_model_alias("churn", "champion")
    view = nm.history("churn")
    assert (view.version, view.periods[-1].version) == (None, None)
    assert "noticed" in repr(view)
    assert "none" in repr(view)
    client.set_registered_model_alias("churn", "champion", "4")
    assert nm.history("churn").version == 4
    assert list(nm.history("churn").frame()["version"].isna()) == [
        False,
        False,
        True,
        False,
    ]
    assert len(AuditLog(load_settings()).read()) == 4


def test_a_move_that_many_see_at_once_is_noticed_once(client):
    nm.promote("churn", 1)
    client.set_registered_model_alias("churn", "champion", "2")
    with ThreadPoolExecutor(8) as threads:
        views = [*threads.map(nm.history, ["churn"] * 24)]
    assert {len(view.periods) for view in views} == {2}
    assert len(AuditLog(load_settings()).read()) == 2


def test_a_model_that_is_deleted_still_has_its_history(client):
    nm.promote("churn", 1)
    client.delete_registered_model("churn")
    assert [each.version for each in nm.history("churn").periods] == [1, None]


def test_a_time_may_be_given_in_words(client):
    before = datetime.now(UTC)
    nm.promote("churn", 2)
    assert nm.history("churn", at=datetime.now(UTC)).version == 2
    for at in (before, before.isoformat(), "1h", timedelta(days=1)):
        view = nm.history("churn", at=at)
        assert (view.version, view.periods) == (None, ())
        assert "champion of 'churn' is not known before" in repr(view)
    with pytest.raises(UsageError, match="'noonish' is not a time"):
        nm.history("churn", at="noonish")


def test_what_is_not_known_names_the_nearest(client):
    with pytest.raises(NotFoundError, match="Did you mean 'churn'"):
        nm.history("chrun")
    with pytest.raises(NotFoundError, match="No alias 'champion' of 'churn'"):
        nm.history("churn")
    nm.promote("churn", 1)
    with pytest.raises(NotFoundError, match="Did you mean 'champion'"):
        nm.history("churn", "chmpion")


def test_the_commands_show_the_history_and_check_the_log(client, capsys):
    nm.promote("churn", 1)
    nm.promote("churn", 2, reason="retrained")
    assert invoke(["history", "churn"]) == 0
    assert "retrained" in capsys.readouterr().out
    assert invoke(["history", "churn", "--at", "2020-01-01", "--json"]) == 0
    assert '"version": null' in capsys.readouterr().out
    assert invoke(["audit", "show", "churn", "-n", "1"]) == 0
    shown = capsys.readouterr().out
    assert "alias moved champion" in shown
    assert "there are older ones" in shown
    assert invoke(["audit", "show", "other"]) == 0
    assert "Nothing was changed yet." in capsys.readouterr().out
    assert invoke(["audit", "verify"]) == 0
    reported = capsys.readouterr().out
    assert "2 lines, each as it was written" in reported
    head = reported.split()[-1]
    assert invoke(["audit", "verify", "--head", head]) == 0
    path = AuditLog(load_settings()).path
    path.write_text(path.read_text().replace("retrained", "ordered"))
    capsys.readouterr()
    assert invoke(["audit", "verify", "--json"]) == 1
    assert '"line": 2' in capsys.readouterr().out


def test_two_stores_of_one_project_do_not_mix(client, tmp_path, monkeypatch):
    nm.promote("churn", 1)
    other = f"sqlite:///{tmp_path / 'other.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", other)
    add_versions("churn", 2)
    nm.promote("churn", 2)
    assert [each.version for each in nm.history("churn").periods] == [2]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert [each.version for each in nm.history("churn").periods] == [1]
    assert AuditLog(load_settings()).verify().n_lines == 2


@pytest.mark.parametrize("n", [50, pytest.param(500, marks=pytest.mark.slow)])
def test_the_champion_is_known_at_every_moment(client, n):
    """Of the moves, a fifth are a stock client's, which the server's watcher sees."""
    rng = random.Random(3)  # noqa: S311
    changes = Changes(load_settings())
    changes.poll()
    now, moments = None, []
    elsewhere = set(rng.sample(range(n), n // 5))
    for number in range(n):
        moments.append((datetime.now(UTC), now))
        now = rng.choice([each for each in (1, 2, 3, 4) if each != now])
        if number in elsewhere:
            client.set_registered_model_alias("churn", "champion", str(now))
            changes.notice_aliases(changes.poll())
        else:
            nm.promote("churn", now)
        moments.append((datetime.now(UTC), now))
    changes.close()
    periods = nm.history("churn").periods
    assert [each.is_noticed for each in periods] == [k in elsewhere for k in range(n)]
    assert len(moments) == 2 * n
    rng.shuffle(moments)
    for moment, version in moments:
        assert nm.history("churn", at=moment).version == version
    assert AuditLog(load_settings()).verify().faults == ()


@pytest.mark.server
def test_the_moves_of_a_stock_client_at_a_server_are_noticed(project, mlflow_server):
    import secrets

    model = f"churn {secrets.token_hex(4)}"
    client = add_versions(model, 3, store=connect())
    nm.promote(model, 1)
    client.set_registered_model_alias(model, "champion", "2")
    changes = Changes(load_settings())
    changes.notice_aliases(changes.poll())
    client.set_registered_model_alias(model, "champion", "3")
    view = nm.history(model)
    assert [(p.version, p.is_noticed) for p in view.periods] == [
        (1, False),
        (2, True),
        (3, True),
    ]
    assert nm.rollback(model).version == 2


@pytest.mark.server
def test_the_history_is_there_when_the_server_is_gone(project, tmp_path, monkeypatch):
    with serving(tmp_path) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        add_versions("churn", 2)
        nm.promote("churn", 1)
    view = nm.history("churn")
    assert view.version == 1
    assert "does not answer. Moves of other clients may be missing." in repr(view)
    with pytest.raises(StoreError, match="does not answer"):
        nm.history("other")
