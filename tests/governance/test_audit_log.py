"""The audit log: what it holds, and which damage is found."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nbmlops as nm
from nbmlops.config import Settings, load_settings
from nbmlops.governance.audit_log import AuditLog, change, user_name
from tests.registries import add_versions


@pytest.fixture
def log(project):
    return AuditLog(load_settings(project))


def fill(log, n=6):
    with log.locked():
        for number in range(1, n + 1):
            log.append(
                change("version registered", "churn", version=number, why="as it is")
            )


def lines(log):
    return log.path.read_text().splitlines(keepends=True)


def faults(log, **options):
    return [(each.line, each.problem) for each in log.verify(**options).faults]


def test_a_line_holds_who_did_what_when_and_why(log, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")
    moved = {"version": 2, "alias": "champion", "before": 1, "after": 2}
    log.record(change("alias moved", "churn", why="better on\nslices ☂", **moved))
    line = json.loads(log.path.read_text())
    assert line["who"] == user_name() == "ada"
    assert (line["before"], line["after"], line["previous"]) == (1, 2, "")
    assert line["at"].endswith("Z")
    (event,) = log.read("churn")
    assert event.why == "better on\nslices ☂"
    assert event.at.utcoffset().total_seconds() == 0
    assert log.read("other") == []


def test_a_secret_in_a_reason_is_masked(log):
    why = "password=hunter2hunter2 was in it"
    log.record(change("version deleted", "churn", why=why))
    assert "hunter2" not in log.path.read_text()


def test_an_untouched_log_is_whole(log):
    assert log.verify().n_lines == 0
    fill(log)
    report = log.verify()
    assert (report.n_lines, report.faults) == (6, ())
    assert report.head == log.read()[-1].hash


@pytest.mark.parametrize("place", range(6))
def test_a_changed_line_is_named(log, place):
    fill(log)
    found = lines(log)
    found[place] = found[place].replace("as it is", "as it was")
    log.path.write_text("".join(found))
    assert faults(log) == [(place + 1, "was changed")]


def test_a_line_that_reads_otherwise_than_it_parses_is_named(log):
    fill(log)
    found = lines(log)
    found[2] = found[2].replace('{"at"', '{"who": "eve", "at"')
    log.path.write_text("".join(found))
    assert faults(log) == [(3, "was changed")]


@pytest.mark.parametrize("place", range(5))
def test_a_removed_line_is_named_by_the_one_after_it(log, place):
    fill(log)
    found = lines(log)
    del found[place]
    log.path.write_text("".join(found))
    assert [line for line, _ in faults(log)] == [place + 1]
    assert "removed" in faults(log)[0][1]


@pytest.mark.parametrize("place", range(5))
def test_lines_in_another_order_are_named(log, place):
    fill(log)
    found = lines(log)
    found[place : place + 2] = found[place : place + 2][::-1]
    log.path.write_text("".join(found))
    named = [line for line, _ in faults(log)]
    assert named[:2] == [place + 1, place + 2]


def test_a_changed_line_with_a_new_hash_does_not_fit_the_next_one(log):
    from nbmlops.governance.audit_log import _hash

    fill(log)
    found = lines(log)
    facts = json.loads(found[2]) | {"who": "eve"}
    found[2] = json.dumps(facts | {"hash": _hash(facts)}) + "\n"
    log.path.write_text("".join(found))
    assert [line for line, _ in faults(log)] == [4]


@pytest.mark.parametrize("text", ["", "nonsense", "[1]", '{"at": 1}', "\xff", "{" * 99])
def test_a_line_that_is_none_is_named_and_left_out(log, text):
    fill(log)
    found = lines(log)
    found.insert(3, text + "\n")
    log.path.write_text("".join(found))
    assert faults(log) == [(4, "is not readable")]
    assert len(log.read()) == 6


def test_what_is_cut_off_at_the_end_is_found_with_a_hash_kept_elsewhere(log):
    fill(log)
    head = log.verify().head
    assert faults(log, head=head) == []
    fill(log, 2)
    assert faults(log, head=head) == []
    log.path.write_text("".join(lines(log)[:4]))
    assert faults(log) == []
    assert "was removed or changed" in faults(log, head=head)[0][1]


def test_a_line_that_a_kill_cut_off_is_none_and_the_next_one_follows(log):
    fill(log, 3)
    with log.path.open("a") as file:
        file.write('{"at": "2026-')
    assert len(log.read()) == 3
    assert faults(log) == []
    fill(log, 1)
    assert len(lines(log)) == 4
    assert faults(log) == []


_WRITER = """
import sys
from nbmlops.config import load_settings
from nbmlops.governance.audit_log import AuditLog, change
log = AuditLog(load_settings())
for number in range(int(sys.argv[1])):
    log.record(change("version registered", "churn", version=number))
"""


def test_many_processes_write_one_chain(log):
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, "25"]) for _ in range(4)
    ]
    assert [each.wait(120) for each in writers] == [0] * 4
    report = log.verify()
    assert (report.n_lines, report.faults) == (100, ())
    times = [event.at for event in log.read()]
    assert times == sorted(times)


def test_what_the_disk_refuses_is_said_and_nothing_is_undone(log, caplog):
    fill(log, 1)
    log.path.unlink()
    log.path.mkdir()  # as refused as a full disk is, and also for root
    log.record(change("version deleted", "churn", version=1))
    (record,) = caplog.records
    assert "not in the audit log: version deleted of churn" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_a_newline_that_an_editor_took_off_costs_no_line(log):
    fill(log, 3)
    log.path.write_bytes(log.path.read_bytes().rstrip())
    assert (len(log.read()), faults(log)) == (3, [])
    fill(log, 1)
    assert (len(log.read()), faults(log)) == (4, [])


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_byte_that_is_changed_is_found(tmp_path_factory, data):
    log = AuditLog(Settings(project=tmp_path_factory.mktemp("damaged")))
    fill(log, 3)
    content = bytearray(log.path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 2))  # the last newline is no line's
    before = content[place]
    content[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != before))
    log.path.write_bytes(content)
    number = bytes(content[:place]).count(b"\n") + 1
    assert faults(log)[0][0] in (number, number + 1)
    log.read()


_PROMOTER = """
import sys
import nbmlops as nm
from nbmlops.store import connect
store, number = connect(), int(sys.argv[1])
nm.promote("churn", 1 + number % 3, store=store)
print("begun", flush=True)
while True:
    number += 1
    nm.promote("churn", 1 + number % 3, store=store)
"""


@pytest.mark.parametrize("n", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_a_kill_at_any_moment_leaves_a_whole_log_that_knows_the_alias(project, n):
    client = add_versions("churn", 3)
    rng = random.Random(5)  # noqa: S311
    for number in range(n):
        promoter = subprocess.Popen(
            [sys.executable, "-c", _PROMOTER, str(number)], stdout=subprocess.PIPE
        )
        promoter.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        promoter.kill()
        promoter.communicate()
        named = client.get_registered_model("churn").aliases["champion"]
        assert nm.history("churn").version == named
        assert AuditLog(load_settings()).verify().faults == ()
    nm.promote("churn", 1 + named % 3)
    moves = AuditLog(load_settings()).read("churn")
    assert [m.before for m in moves] == [None, *(m.after for m in moves)][:-1]


def test_on_a_full_disk_the_alias_moves_and_is_noticed_later(tmp_path):
    script = Path(__file__).with_name("full_disk.py")
    words = ["unshare", "-rm", sys.executable, "-m", "tests.governance.full_disk"]
    done = subprocess.run(
        words, cwd=script.parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["full"].pop("lines") < 21
    assert found["full"] == {"champion": 3, "faults": 0}
    assert found["later"][-1] == ["alias noticed", 3]
    assert "not in the audit log: alias moved of churn: No space left" in done.stderr
