import json
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from nbmlops.scoring.answer import write_answer


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        (np.array([1, 2]), [1, 2]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array([True]), [True]),
        (np.array([0.1 + 0.2], dtype=np.float64), [0.30000000000000004]),
        (np.array([[1.5, np.nan]]), [[1.5, None]]),
        (np.array([np.inf, -np.inf]), [None, None]),
        (np.array([np.int64(3), np.str_("x"), None], dtype=object), [3, "x", None]),
        (np.array(["2026-01-02"], dtype="datetime64[D]"), ["2026-01-02"]),
        ([datetime(2026, 1, 2)], ["2026-01-02T00:00:00"]),  # noqa: DTZ001
        (pd.DataFrame({"a": [1], "b": ["x"]}), [{"a": 1, "b": "x"}]),
        (pd.DataFrame({"a": [np.nan]}), [{"a": None}]),
        (pd.Series([1, 2], name="y"), [{"y": 1}, {"y": 2}]),
        ([b"ab"], ["YWI="]),
    ],
)
def test_predictions_of_every_type_become_plain_json(predictions, expected):
    def never(text):
        raise AssertionError(text)

    answer = json.loads(write_answer(predictions), parse_constant=never)
    assert answer == {"predictions": expected}
