from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from nbmlops.config import Settings
from nbmlops.deployment.request_log import (
    feedback_folder,
    log_folder,
    parse_moment,
    read_log,
)
from nbmlops.deployment.request_log_view import RequestLogView
from nbmlops.errors import UsageError
from nbmlops.serving.request_log.feedback import Feedback
from nbmlops.serving.request_log.requests import RequestLog
from tests.serving.logged import BOUNDS, COLUMNS, request

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path):
    return Settings(project=tmp_path)


@pytest.fixture
def logged(settings):
    """Return the hourly requests of two days, the last of them refused."""
    now = datetime.now(UTC)
    requests = [
        request(
            np.array([[n, 0.5]]),
            [f"class {n}"],
            time_ns=int((now - timedelta(hours=n)).timestamp() * 1e6) * 1000,
        )
        for n in range(47, 0, -1)
    ]
    requests.append(request(status=400))
    log = RequestLog(log_folder(settings, "churn"), COLUMNS, **BOUNDS)
    for each in requests:
        log.append(each)
    log.close()
    feedback = Feedback(feedback_folder(settings, "churn"), **BOUNDS)
    feedback.append(requests[-2].request_id, "<b>bold</b>")
    feedback.close()
    return requests


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("30s", timedelta(seconds=30)),
        ("90m", timedelta(minutes=90)),
        ("1h", timedelta(hours=1)),
        ("1.5 h", timedelta(hours=1.5)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        (timedelta(hours=3), timedelta(hours=3)),
        ("2026-11-30T11:00", timedelta(hours=1)),
        ("2026-11-30T12:00+02:00", timedelta(hours=2)),
        (datetime(2026, 11, 30), timedelta(hours=12)),  # noqa: DTZ001
    ],
)
def test_a_time_is_a_duration_before_now_or_a_time(text, ago):
    assert parse_moment(text, now=NOW) == NOW - ago


@pytest.mark.parametrize(
    "text", ["", "h", "1y", "-1h", "yesterday", "1h2m", "9" * 30 + "d"]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UsageError, match=r"is not a time\. Give a duration such as"):
        parse_moment(text, now=NOW)


def test_rows_are_read_by_time(settings, logged):
    folder = log_folder(settings, "churn")
    assert len(read_log(folder)) == 48
    assert read_log(folder, since="2.5h")["in.a"].tolist()[:-1] == [2, 1]
    assert read_log(folder, until="46.5h")["in.a"].tolist() == [47]
    third = datetime.fromtimestamp(logged[2].time_ns / 1e9, UTC)
    assert read_log(folder, since=third, until=third + timedelta(seconds=1))[
        "request_id"
    ].tolist() == [logged[2].request_id]
    assert read_log(folder).time.is_monotonic_increasing


def test_the_newest_rows_are_read_alone(settings, logged):
    folder = log_folder(settings, "churn")
    assert read_log(folder, newest=3).request_id.tolist() == [
        each.request_id for each in logged[-3:]
    ]
    assert len(read_log(folder, newest=100)) == 48
    answered = read_log(folder, newest=3, is_answered=True)
    assert answered["in.a"].tolist() == [3, 2, 1]
    only = read_log(folder, newest=1, is_answered=True, columns=["in.a"])
    assert only["in.a"].tolist() == [1]


def test_columns_are_read_by_name(settings, logged):
    frame = read_log(log_folder(settings, "churn"), columns=["in.a", "prediction"])
    assert list(frame) == ["in.a", "prediction"]
    with pytest.raises(UsageError, match=r"no column 'in\.x'\."):
        read_log(log_folder(settings, "churn"), columns=["in.x"])


def test_numbers_and_texts_in_one_column_are_texts(settings):
    folder = log_folder(settings, "churn")
    for value in (1, 2.5, None, "good"):
        log = RequestLog(folder, COLUMNS, **BOUNDS)
        log.append(request(np.zeros((1, 2)), [value]))
        log.close()
        if value is None:
            assert read_log(folder).prediction.tolist()[:2] == [1.0, 2.5]
    assert sorted(read_log(folder).prediction.dropna()) == ["1", "2.5", "good"]


def test_a_damaged_file_is_named_and_the_others_are_read(settings, logged, caplog):
    folder = log_folder(settings, "churn")
    (folder / logged_day(logged) / "000000-1-1.parquet").write_bytes(b"PAR1 no PAR1")
    assert len(read_log(folder)) == 48
    assert "000000-1-1.parquet cannot be read" in caplog.text


def logged_day(logged):
    return datetime.fromtimestamp(logged[0].time_ns / 1e9, UTC).date().isoformat()


def test_a_view_shows_the_newest_rows(settings, logged):
    view = RequestLogView(settings, "churn")
    title, _, _, newest, before, *rest = repr(view).splitlines()
    assert title == "request log of churn · 48 rows · 1 label · 1 failed"
    assert " 400 " in newest
    assert "<b>bold</b>" in before
    assert len(rest) == 8
    assert max(map(len, repr(view).splitlines())) <= 80
    html = view._repr_html_()
    assert "<table" in html
    assert "<b>" not in html


def test_a_view_is_read_when_it_is_looked_at(settings):
    view = RequestLogView(settings, "churn", since="1h")
    assert "no rows" in repr(view)
    assert "No request was logged in that time." in view._repr_html_()
    assert view.frame().empty
    log = RequestLog(log_folder(settings, "churn"), COLUMNS, **BOUNDS)
    log.append(request(np.zeros((1, 2)), [1]))
    log.close()
    assert len(view.frame()) == 1
    assert list(view.frame(["prediction"])) == ["prediction", "label"]
