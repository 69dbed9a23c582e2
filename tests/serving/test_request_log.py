from __future__ import annotations

import fcntl
import json
import os
import random
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from nbmlops.deployment.request_log import read_log
from nbmlops.entities import Column
from nbmlops.serving.request_log.requests import RequestLog
from tests.serving.logged import BOUNDS, COLUMNS, request

DAY_NS = 86_400 * 10**9
NOW_NS = time.time_ns()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "requests"


def write(folder, requests, columns=COLUMNS, **options):
    log = RequestLog(folder, columns, **BOUNDS | options)
    for each in requests:
        log.append(each)
    log.close()
    return log


def parts(folder):
    return sorted(folder.rglob("*.parquet"))


def test_a_row_of_the_log_is_a_row_of_input(folder):
    logged = request(np.array([[1.0, 2.0], [3.0, np.nan]]), ["good", "bad"])
    write(folder, [logged])
    frame = pd.read_parquet(folder)
    assert list(frame) == [
        *("request_id", "row", "time", "version", "route", "status", "latency_us"),
        *("in.a", "in.b", "prediction"),
    ]
    assert frame.request_id.tolist() == [logged.request_id] * 2
    assert frame.row.tolist() == [0, 1]
    assert (
        frame.time.tolist()
        == [pd.Timestamp(logged.time_ns // 1000, unit="us", tz="UTC")] * 2
    )
    assert (
        frame[["version", "status", "latency_us"]].to_numpy().tolist()
        == [[3, 200, 250]] * 2
    )
    assert frame["in.a"].tolist() == [1.0, 3.0]
    assert frame["in.b"].isna().tolist() == [False, True]
    assert frame.prediction.tolist() == ["good", "bad"]


def test_columns_of_any_type_come_back_as_they_were(folder):
    types = ("double", "float", "long", "integer", "boolean", "string", "datetime")
    columns = [Column(name=name, type=name) for name in types]
    moment = np.array(["2026-11-30T12:00:00", "NaT"], "datetime64[ns]")
    values = ([1.5, None], [0.5, 2.0], [2**60, 1], [1, 2], [True, False], ["a", None])
    write(folder, [request((*values, moment), [1, 2])], columns)
    table = pq.read_table(parts(folder)[0])
    for name, given in zip(types, values, strict=False):
        assert table[f"in.{name}"].to_pylist() == given
    assert table["in.datetime"].to_pylist() == [datetime(2026, 11, 30, 12), None]  # noqa: DTZ001
    assert {name: str(table.schema.field(f"in.{name}").type) for name in types} == {
        "double": "double",
        "float": "float",
        "long": "int64",
        "integer": "int32",
        "boolean": "bool",
        "string": "string",
        "datetime": "timestamp[us]",
    }


def test_values_that_do_not_fit_the_signature_are_kept(folder):
    columns = [Column(name="n", type="long"), Column(name="x", type="any")]
    requests = [
        request(([1], ["text"]), [1]),
        request(([1.5], [7]), [1.5]),
        request(([None], [{"a": 1}]), [None]),
    ]
    log = write(folder, requests, columns)
    assert log.dropped == 0
    frame = read_log(folder)
    assert frame["in.n"].tolist()[:2] == [1.0, 1.5]
    assert frame["in.x"].tolist() == ['"text"', "7", '{"a": 1}']
    assert frame.prediction.tolist()[:2] == [1.0, 1.5]


def test_texts_of_a_csv_are_values_as_those_of_json_are(folder):
    types = {
        "double": (["1.5", ""], [2.5, None], [1.5, None, 2.5, None]),
        "long": (["3", "4"], [5, 6], [3, 4, 5, 6]),
        "boolean": (["true", "False"], [True, None], [True, False, True, None]),
        "string": (["a", "7"], ["b", None], ["a", "7", "b", None]),
        "datetime": (
            ["2026-11-30", "2026-11-30T12:00:00+02:00"],
            ["2026-11-30T01:00:00.5", None],
            [
                datetime(2026, 11, 30),  # noqa: DTZ001
                datetime(2026, 11, 30, 10),  # noqa: DTZ001
                datetime(2026, 11, 30, 1, 0, 0, 500_000),  # noqa: DTZ001
                None,
            ],
        ),
    }
    columns = [Column(name=name, type=name) for name in types]
    for n in (0, 1):
        inputs = tuple(given[n] for given in types.values())
        write(folder, [request(inputs, [1, 2], time_ns=NOW_NS + n)], columns)
    (part,) = parts(folder)
    table = pq.read_table(part)
    for name, (_, _, expected) in types.items():
        assert table[f"in.{name}"].to_pylist() == expected


def test_a_column_of_any_values_is_json_unless_all_are_numbers(folder):
    columns = [Column(name="x", type="any")]
    write(folder, [request(([1, 2],), [1, 2])], columns)
    write(folder, [request((["1", None],), [1, 2])], columns)
    texts = read_log(folder)["in.x"]
    assert texts.dropna().tolist() == ["1", "2", '"1"']


def test_probabilities_are_in_a_column_of_their_own(folder):
    row = np.array([[1.0, 2.0]])
    write(folder, [request(row, ["good"]), request(row, [[0.25, 0.75]])])
    frame = read_log(folder)
    assert frame.prediction.dropna().tolist() == ["good"]
    (probabilities,) = frame.prediction_list.dropna()
    assert list(probabilities) == [0.25, 0.75]


def test_a_request_that_could_not_be_read_has_a_row(folder):
    write(folder, [request(status=400), request(np.zeros((1, 2)), ["good"])])
    frame = read_log(folder)
    assert sorted(frame.status) == [200, 400]
    assert frame.loc[frame.status == 400, "in.a"].isna().all()
    assert len(parts(folder)) == 1


def test_requests_are_filed_by_their_utc_day(folder):
    midnight = int(datetime(2026, 11, 30, tzinfo=UTC).timestamp()) * 10**9
    row = np.zeros((1, 2))
    requests = [request(row, [1], time_ns=midnight + n) for n in (-1000, 0)]
    write(folder, requests, most_days=100_000)
    days = {path.parent.name: len(pq.read_table(path)) for path in parts(folder)}
    assert days == {"2026-11-29": 1, "2026-11-30": 1}


def test_what_was_appended_is_readable_soon(folder):
    log = RequestLog(folder, COLUMNS, **BOUNDS)
    log.append(request(np.zeros((1, 2)), [1]))
    until = time.monotonic() + 60
    while not len(read_log(folder)):
        assert time.monotonic() < until
        time.sleep(0.05)
    log.append(request(np.ones((1, 2)), [1]))
    while len(read_log(folder)) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    log.close()
    assert len(parts(folder)) == 1  # which has grown


def test_a_restarted_worker_continues_the_part(folder):
    for n in range(40):
        write(folder, [request(np.full((1, 2), n), [1])])
    assert len(parts(folder)) == 1
    assert read_log(folder)["in.a"].tolist() == list(range(40))


def test_a_worker_with_another_signature_has_a_part_of_its_own(folder):
    write(folder, [request(np.zeros((1, 2)), [1])])
    write(folder, [request(np.zeros((1, 1)), [1])], [Column(name="c", type="double")])
    write(folder, [request(np.zeros((1, 2)), [1])])
    assert len(parts(folder)) == 2
    assert read_log(folder)["in.c"].notna().sum() == 1


def test_several_workers_write_beside_each_other(folder):
    logs = [RequestLog(folder, COLUMNS, **BOUNDS) for _ in range(4)]
    ids = set()
    for n in range(200):
        logged = request(np.zeros((1, 2)), [1])
        ids.add(logged.request_id)
        logs[n % 4].append(logged)
    for log in logs:
        log.close()
    assert sorted(read_log(folder).request_id) == sorted(ids)


def test_a_reader_sees_each_row_once_while_it_is_written(folder):
    log = RequestLog(folder, COLUMNS, **BOUNDS)
    is_over = threading.Event()
    seen, faults = [0], []

    def read():
        while not is_over.is_set():
            frame = read_log(folder)
            if frame.request_id.duplicated().any() or len(frame) < seen[0]:
                faults.append(len(frame))
            seen[0] = len(frame)

    reader = threading.Thread(target=read)
    reader.start()
    n_appended = 0
    until = time.monotonic() + 5
    while time.monotonic() < until:
        log.append(request(np.random.rand(1, 2), [1]))
        n_appended += 1
        time.sleep(0.0005)
    log.close()
    is_over.set()
    reader.join()
    assert not faults
    assert seen[0]
    assert len(read_log(folder)) == n_appended


@pytest.mark.slow
def test_a_killed_worker_loses_no_row_older_than_its_last_write(folder):
    _kill_workers(folder, 20)


def test_one_killed_worker_loses_no_row_older_than_its_last_write(folder):
    _kill_workers(folder, 2)


def _kill_workers(folder, n):
    source = random.Random(1)  # noqa: S311
    acknowledged = []
    for _ in range(n):
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.serving.logged", str(folder)],
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = [worker.stdout.readline()]
        until = time.monotonic() + 2.5 + source.random() * 2
        while time.monotonic() < until:
            lines.append(worker.stdout.readline())
        # What is on disk now, stays there.
        on_disk = set(read_log(folder, columns=["request_id"]).request_id)
        worker.kill()
        lines += worker.stdout.read().splitlines()
        worker.wait()
        said = [line.split()[0] for line in lines if len(line.split()) == 2]
        assert on_disk.intersection(said)
        acknowledged.append((on_disk, said))
    frame = read_log(folder)
    assert not frame.request_id.duplicated().any()
    found = set(frame.request_id)
    assert all(on_disk <= found for on_disk, _ in acknowledged)
    for _, said in acknowledged:  # each worker's rows are there up to one, then none
        is_there = [each in found for each in said]
        assert is_there == sorted(is_there, reverse=True)
    write(folder, [request(np.zeros((1, 2)), [0.5])])
    small = [path for path in parts(folder) if pq.read_table(path).nbytes < 1 << 18]
    assert len(small) <= 1  # each has continued the part of the one before
    assert not list(folder.rglob("*.tmp"))


def test_what_killed_workers_left_in_past_days_is_removed(folder):
    write(folder, [request(np.zeros((1, 2)), [1], time_ns=time.time_ns() - DAY_NS)])
    (day,) = folder.iterdir()
    (lock,) = day.glob(".*.lock")
    lock.with_suffix(".tmp").write_bytes(b"half a fi")
    write(folder, [request(np.zeros((1, 2)), [1])])
    assert [path.suffix for path in day.iterdir()] == [".parquet"]
    assert len(read_log(folder)) == 2


def test_what_a_living_worker_writes_is_left_alone(folder):
    write(folder, [request(np.zeros((1, 2)), [1])])
    (lock,) = folder.rglob(".*.lock")
    held = os.open(lock, os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    before = parts(folder)[0].read_bytes()
    write(folder, [request(np.zeros((1, 2)), [1])])
    os.close(held)
    assert len(parts(folder)) == 2
    assert before in [path.read_bytes() for path in parts(folder)]


def test_the_oldest_days_go(folder):
    now = time.time_ns()
    requests = [
        request(np.zeros((1, 2)), [n], time_ns=now - n * DAY_NS) for n in range(5)
    ]
    write(folder, requests)
    write(folder, [request(np.zeros((1, 2)), [0])], most_days=3)
    today = datetime.now(UTC).date()
    assert sorted(path.name for path in folder.iterdir()) == [
        (today - timedelta(days=n)).isoformat() for n in (2, 1, 0)
    ]


def test_the_log_stays_below_its_bytes(folder):
    most = 2_000_000
    log = RequestLog(folder, COLUMNS, most_bytes=most, most_days=30)
    source = np.random.default_rng(1)
    for _ in range(12):
        log.append(request(source.random((20_000, 2)), [0.5] * 20_000))
        log.close()
        assert sum(path.stat().st_size for path in parts(folder)) <= most
        log = RequestLog(folder, COLUMNS, most_bytes=most, most_days=30)
    log.close()
    last = request(source.random((1, 2)), [0.5])
    write(folder, [last], most_bytes=most)
    assert last.request_id in set(read_log(folder).request_id)
    assert len(read_log(folder)) > 20_000


def test_many_rows_make_few_files(folder):
    source = np.random.default_rng(1)
    log = RequestLog(folder, COLUMNS, **BOUNDS)
    for _ in range(100):
        log.append(request(source.random((2_000, 2)), [0.5] * 2_000))
    log.close()
    assert len(read_log(folder)) == 200_000
    assert len(parts(folder)) <= 4


def test_a_sample_is_chosen_by_the_id_alone(folder, tmp_path):
    requests = [request(np.zeros((1, 2)), [1]) for _ in range(4000)]
    write(folder, requests, sample=0.25)
    write(tmp_path / "again", requests, sample=0.25)
    kept = set(read_log(folder).request_id)
    assert kept == set(read_log(tmp_path / "again").request_id)
    assert 850 < len(kept) < 1150  # 5 standard deviations
    write(tmp_path / "off", requests, sample=0)
    assert read_log(tmp_path / "off").empty


def test_a_row_that_cannot_be_logged_takes_no_other_with_it(folder):
    log = RequestLog(folder, COLUMNS, **BOUNDS)
    log.append(request(object(), [1]))  # no rows
    log.append(request(([1], [2]), [1]))
    log.append(request(([1, 2], [1]), [1, 2]))  # columns of different lengths
    log.append(request(([1], [2], [3]), [1]))  # more columns than there are
    log.append(request(np.zeros((1, 2), object), [1]))
    log.append(request(np.array([["a", "b"]]), [1]))
    log.append(request(np.zeros((1, 2)), [1], status="none", request_id=7))
    log.append(request(np.zeros((1, 2)), 7))
    log.append(request(np.zeros((1, 2)), [1]))
    log.close()
    assert log.dropped == 5
    assert read_log(folder)["in.a"].tolist() == ["1", "1", "0", "a", "0"]


def test_a_time_of_no_day_does_not_end_the_log(folder):
    log = RequestLog(folder, COLUMNS, **BOUNDS)
    log.append(request(np.zeros((1, 2)), [1], time_ns=2**63 - 1))
    log.append(request(np.zeros((1, 2)), [1], time_ns=2**70))
    until = time.monotonic() + 60
    while log.dropped < 1:
        assert time.monotonic() < until
        time.sleep(0.05)
    log.append(request(np.zeros((1, 2)), [1]))
    log.close()
    assert log.dropped == 1
    assert len(read_log(folder)) == 2  # that of the year 2262 is one


def test_nothing_is_raised_after_the_end(folder):
    log = write(folder, [])
    log.append(request(np.zeros((1, 2)), [1]))
    log.close()
    assert log.dropped == 1


def test_rows_for_a_full_disk_are_dropped_and_counted():
    done = subprocess.run(
        ["unshare", "-rm", sys.executable, "-m", "tests.serving.full_disk"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"dropped": 50, "logged": 20, "left": 0}
