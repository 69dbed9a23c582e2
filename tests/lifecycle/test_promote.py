"""Aliases moved: by one of two at once, back again, and not away from their users."""

import json
import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

import nbmlops as nm
from nbmlops.config import Settings, load_settings
from nbmlops.errors import ConflictError, NotFoundError, UsageError
from nbmlops.governance.audit_log import AuditLog
from nbmlops.lifecycle import promote as module
from nbmlops.store import connect
from nbmlops.store.registry.registered_models import get_model
from tests.registries import add_versions


def events(model="churn"):
    return AuditLog(load_settings()).read(model)


def champion(model="churn"):
    return get_model(connect(), model).aliases.get("champion")


@pytest.fixture
def client(project):
    return add_versions("churn", 4)


def test_an_alias_is_set_and_moved_and_the_log_says_by_whom_and_why(
    client, monkeypatch
):
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")
    version = nm.promote("churn", 1)
    assert (version.version, version.aliases) == (1, ("champion",))
    nm.promote("churn", 3, reason="better on slices")
    nm.promote("churn", 3, to="challenger")
    assert client.get_registered_model("churn").aliases["champion"] == 3
    assert [(e.what, e.alias, e.before, e.after, e.who, e.why) for e in events()] == [
        ("alias moved", "champion", None, 1, "ada", ""),
        ("alias moved", "champion", 1, 3, "ada", "better on slices"),
        ("alias moved", "challenger", None, 3, "ada", ""),
    ]


def test_promoting_again_changes_and_records_nothing(client):
    nm.promote("churn", 2)
    assert nm.promote("churn", 2, expected=1).aliases == ("champion",)
    assert len(events()) == 1


def test_who_comes_too_late_is_told_who_moved_it_and_when(client, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")
    nm.promote("churn", 1)
    nm.promote("churn", 2)
    with pytest.raises(ConflictError) as caught:
        nm.promote("churn", 3, expected=1)
    assert re.fullmatch(
        r"champion of 'churn' is now 2 \(by ada, \d\d:\d\d\)\.", caught.value.problem
    )
    assert "as expected=" in caught.value.fix
    with pytest.raises(ConflictError, match="is now 2"):
        nm.promote("churn", 3, expected=0)
    with pytest.raises(ConflictError, match="live of 'churn' is not set now"):
        nm.promote("churn", 3, to="live", expected=1)
    assert champion() == 2


def test_what_was_seen_at_the_beginning_is_what_is_expected(client, monkeypatch):
    nm.promote("churn", 1)
    read = module.get_version

    def read_slowly(*arguments):
        client.set_registered_model_alias("churn", "champion", "2")
        return read(*arguments)

    monkeypatch.setattr(module, "get_version", read_slowly)
    with pytest.raises(ConflictError, match=r"is now 2 \(noticed, \d\d:\d\d\)"):
        nm.promote("churn", 3)
    assert [(e.what, e.before, e.after, e.who) for e in events()][1:] == [
        ("alias noticed", 1, 2, "")
    ]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("chrun", 1), NotFoundError, "Did you mean 'churn'"),
        (("churn", 9), NotFoundError, "No version 9"),
        (("churn", "1"), UsageError, "'1' is no version number"),
        (("churn", True), UsageError, "'True' is no version number"),
        (("churn", 1, "latest"), UsageError, "'latest' cannot be an alias"),
        (("churn", 1, "v2"), UsageError, "'v2' cannot be an alias"),
    ],
)
def test_what_cannot_be_promoted_is_refused(client, arguments, error, words):
    with pytest.raises(error, match=words):
        nm.promote(*arguments)
    assert events() == []


def test_rolling_back_goes_back_one_by_one(client):
    for version in (1, 2, 4):
        nm.promote("churn", version)
    assert nm.rollback("churn", reason="wrong in June").version == 2
    assert nm.rollback("churn").version == 1
    with pytest.raises(NotFoundError, match="No version is known that champion of 'ch"):
        nm.rollback("churn")
    assert champion() == 1
    nm.promote("churn", 3)
    assert nm.rollback("churn").version == 1
    assert [(e.what, e.after) for e in events()][3:] == [
        ("rolled back", 2),
        ("rolled back", 1),
        ("alias moved", 3),
        ("rolled back", 1),
    ]
    assert events()[3].why == "wrong in June"


def test_rolling_back_knows_moves_of_others_and_passes_over_deleted_versions(client):
    nm.promote("churn", 1)
    client.set_registered_model_alias("churn", "champion", "2")
    nm.promote("churn", 3)
    client.delete_model_version("churn", "2")
    assert nm.rollback("churn").version == 1
    client.delete_registered_model_alias("churn", "champion")
    assert nm.rollback("churn").version == 1  # what it named last
    assert [event.what for event in events()] == [
        "alias moved",
        "alias noticed",
        "alias moved",
        "rolled back",
        "alias noticed",
        "rolled back",
    ]


def test_registering_is_recorded_once_and_moves_the_alias_in_the_same_way(project):
    from sklearn.linear_model import LogisticRegression

    with nm.track("fit") as run:
        run.log_model(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), [[0.0]])
    for _ in range(2):
        nm.register("risk", run=run.run_id, alias="champion")
    assert [(e.what, e.version, e.before) for e in events("risk")] == [
        ("version registered", 1, None),
        ("alias moved", 1, None),
    ]


def test_a_version_in_use_is_not_deleted_and_the_user_of_it_is_named(client):
    nm.promote("churn", 1)
    nm.promote("churn", 1, to="live")
    with pytest.raises(ConflictError, match="1 of 'churn' is its champion and live"):
        nm.delete_version("churn", 1)
    nm.delete_version("churn", 2, reason="trained on the wrong year")
    with pytest.raises(NotFoundError, match="No version 2"):
        nm.delete_version("churn", 2)
    found = client.search_model_versions("name='churn'")
    assert sorted(int(each.version) for each in found) == [1, 3, 4]
    assert (events()[-1].what, events()[-1].version, events()[-1].why) == (
        "version deleted",
        2,
        "trained on the wrong year",
    )


def race(folder, uri, rounds, barrier, place):
    """Promote in each round the one of two versions that is this one's."""
    settings = Settings(project=folder, tracking_uri=uri)
    store = connect(settings)
    won = []
    for _ in range(rounds):
        barrier.wait(120)
        now = get_model(store, "churn").aliases.get("champion")
        mine = [number for number in (1, 2, 3) if number != now][place]
        barrier.wait(120)
        try:
            nm.promote("churn", mine, expected=now or 0, store=store)
        except ConflictError as error:
            won.append(error.problem)
        else:
            won.append(mine)
    return won


def run_races(folders, uri, rounds):
    for folder in folders:
        (folder / ".nbmlops").mkdir(parents=True, exist_ok=True)
    store = connect(Settings(project=folders[0], tracking_uri=uri))
    add_versions("churn", 3, store=store)
    context = get_context("spawn")
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(2, mp_context=context) as pool,
    ):
        barrier = manager.Barrier(2)
        tasks = [
            pool.submit(race, folder, uri, rounds, barrier, place)
            for place, folder in enumerate(folders)
        ]
        first, second = (task.result() for task in tasks)
    winners = []
    for pair in zip(first, second, strict=True):
        (winner,) = (each for each in pair if isinstance(each, int))
        (loser,) = (each for each in pair if isinstance(each, str))
        assert f"champion of 'churn' is now {winner} (" in loser
        winners.append(winner)
    assert get_model(store, "churn").aliases == {"champion": winners[-1]}
    for folder in set(folders):
        log = AuditLog(Settings(project=folder, tracking_uri=uri))
        assert log.verify().faults == ()
        moves = log.read("churn")
        befores = [event.before for event in moves]
        assert befores == [None, *(event.after for event in moves)][:-1]
        if len(set(folders)) == 1:
            assert [event.after for event in moves] == winners
            assert {event.what for event in moves} == {"alias moved"}
    return winners


ROUNDS = [25, pytest.param(500, marks=pytest.mark.slow)]


@pytest.mark.parametrize("rounds", ROUNDS)
def test_of_two_promotions_at_once_exactly_one_wins(project, rounds):
    run_races([project, project], None, rounds)


@pytest.mark.server
@pytest.mark.parametrize("rounds", ROUNDS)
def test_of_two_projects_with_one_database_exactly_one_wins(
    project, postgres_uri, rounds
):
    """No lock is between them: the database decides."""
    run_races([project, project.with_name("other")], postgres_uri, rounds)


@pytest.mark.server
@pytest.mark.slow
def test_of_two_promotions_at_a_server_exactly_one_wins(project, mlflow_server):
    run_races([project, project], mlflow_server.url, 50)


@pytest.mark.server
def test_the_endpoints_of_a_version_are_named(project):
    from sklearn.linear_model import LogisticRegression

    for _ in range(2):
        with nm.track("fit") as run:
            run.log_model(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), [[0.0]])
        nm.register("risk", run=run.run_id)
    nm.deploy("risk/1", name="live")
    try:
        nm.deploy("risk/2", name="live", canary=0.5)
        with pytest.raises(ConflictError, match="'live' serves version 1 of 'risk'"):
            nm.delete_version("risk", 1)
        with pytest.raises(ConflictError, match="of 'risk' as its canary"):
            nm.delete_version("risk", 2)
    finally:
        nm.undeploy("live")
    nm.delete_version("risk", 1)


def test_the_command_promotes_and_rolls_back(client, capsys):
    from nbmlops.cli.main import invoke

    assert invoke(["promote", "churn", "1"]) == 0
    assert invoke(["promote", "churn", "2", "--reason", "better", "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out[out.index("{") :])["aliases"] == ["champion"]
    assert invoke(["promote", "churn", "3", "--expected", "1"]) == 2
    assert "names now as --expected." in capsys.readouterr().err
    assert invoke(["rollback", "churn", "--reason", "worse"]) == 0
    assert "rolled back" in capsys.readouterr().out
    assert champion() == 1
