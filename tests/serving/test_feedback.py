from __future__ import annotations

import time
import uuid

import pytest

from nbmlops.deployment.request_log import read_log
from nbmlops.errors import UsageError
from nbmlops.serving.request_log.feedback import Feedback
from tests.serving.logged import BOUNDS, request
from tests.serving.test_request_log import write

ID = "7f6dfa3ed49a4c9e892e234f2a9f6de4"
COLUMNS = (([1.0, 2.0], [3.0, 4.0]), ["good", "bad"])


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "requests"


@pytest.fixture
def labels(tmp_path):
    return tmp_path / "feedback"


def send(folder, *labels):
    feedback = Feedback(folder, **BOUNDS)
    for request_id, label in labels:
        feedback.append(request_id, label)
    feedback.close()
    return feedback


def test_labels_join_the_rows_of_their_request(folder, labels):
    first, second, third = (request(*COLUMNS) for _ in range(3))
    write(folder, [first, second, third])
    send(labels, (first.request_id, ["bad", "good"]), (second.request_id, "good"))
    frame = read_log(folder, labels=labels).set_index("request_id")
    assert frame.loc[first.request_id, "label"].tolist() == ["bad", "good"]
    assert frame.loc[second.request_id, "label"].fillna("").tolist() == ["good", ""]
    assert frame.loc[third.request_id, "label"].isna().all()


def test_the_last_label_counts(folder, labels):
    logged = request(*COLUMNS)
    write(folder, [logged])
    send(labels, (logged.request_id, ["a", "b"]), (logged.request_id, [None, "c"]))
    time.sleep(0.001)
    send(labels, (logged.request_id, "d"), (uuid.uuid4().hex, "e"))
    assert read_log(folder, labels=labels).label.tolist() == ["d", "c"]


@pytest.mark.parametrize("given", [[0, 1], [0.5, 1.5], [True, False], ["a", "b"]])
def test_a_label_keeps_its_type(folder, labels, given):
    logged = request(*COLUMNS)
    write(folder, [logged])
    send(labels, (logged.request_id, given))
    assert read_log(folder, labels=labels).label.tolist() == given


def test_whole_numbers_and_fractions_are_numbers(folder, labels):
    logged = request(*COLUMNS)
    write(folder, [logged])
    send(labels, (logged.request_id, [1, 2.5]))
    assert read_log(folder, labels=labels).label.tolist() == [1.0, 2.5]


def test_without_labels_the_column_is_empty(folder, labels):
    write(folder, [request(*COLUMNS)])
    assert read_log(folder, labels=labels).label.isna().all()
    assert read_log(folder, labels=labels, columns=["row", "label"]).shape == (2, 2)


@pytest.mark.parametrize(
    ("request_id", "label", "problem"),
    [
        ("../../etc/passwd", 1, "The request_id is not one of an answer."),
        (ID.upper(), 1, "The request_id is not one of an answer."),
        (f"{ID}\n", 1, "The request_id is not one of an answer."),
        (None, 1, "The request_id is not one of an answer."),
        (ID, [], "There are 0 labels."),
        (ID, [1] * 100_001, "There are 100001 labels."),
        (ID, ["a", {"b": 1}], "The label of row 1 is not a value."),
        (ID, [[1]], "The label of row 0 is not a value."),
        (ID, float("inf"), "The label of row 0 is not a value."),
        (ID, "x" * 1001, "The label of row 0 has 1001 characters."),
        (ID, 2**64, "The label of row 0 does not fit into 64 bits."),
    ],
)
def test_what_is_no_label_is_refused(labels, request_id, label, problem):
    feedback = Feedback(labels, **BOUNDS)
    with pytest.raises(UsageError) as caught:
        feedback.append(request_id, label)
    feedback.close()
    assert caught.value.problem == problem
    assert not list(labels.rglob("*.parquet"))
