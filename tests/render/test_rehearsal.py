from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd

from nbmlops.entities import Flip, Rehearsal, RehearsalSlice, RowError, Shift
from nbmlops.render.rehearsal import RehearsalView

MOMENT = datetime(2026, 11, 30, 12, tzinfo=UTC)
EQUAL = Rehearsal(
    model="credit",
    version=2,
    endpoint="risk",
    first_at=MOMENT,
    last_at=MOMENT,
    served=(1, 3),
    kind="classes",
    n_requests=900,
    n_rows=1234,
    n_different=0,
    n_changed=0,
    n_failed=0,
    flips=(),
    shift=None,
    errors=(),
    us_per_row=1.25,
    us_single=12_345.0,
    slices=(),
    n_slices=0,
)
PLACE = RehearsalSlice(
    name=f"home = '<b>{'x' * 90}</b>' and income > 52",
    columns=("home", "income"),
    what="changed",
    n_rows=1073,
    share=0.4,
    share_elsewhere=0.0123,
    p_value=3e-12,
)
CHANGED = replace(
    EQUAL,
    n_different=123,
    n_changed=123,
    n_failed=7,
    flips=(Flip(before="<i>good</i>", after="bad", n_rows=123),),
    errors=(
        RowError(message=f"ValueError: {'y' * 190}", n_rows=7, request_id="1", row=0),
    ),
    slices=(PLACE, replace(PLACE, name="age > 3", what="failed", shift=-1.5)),
    n_slices=99,
    notes=("5 rows are left out.",),
)


def show(rehearsal):
    return RehearsalView(rehearsal, pd.DataFrame())


def test_an_equal_version_is_shown_in_five_lines():
    assert repr(show(EQUAL)).splitlines() == [
        "credit/2 on 1,234 rows that risk has answered",
        "2026-11-30 12:00 to 2026-11-30 12:00 UTC, 900 requests, by version 1, 3",
        "different  no row",
        "failed     no row",
        "predict    1.25 µs a row in batches, 12.3 ms a row alone",
        "Every prediction is what it was.",
    ]


def test_changes_are_shown_in_80_columns():
    lines = repr(show(CHANGED)).splitlines()
    assert max(map(len, lines)) <= 80
    assert "different  123 rows, 9.968 %" in lines
    assert "flips      <i>good</i> to bad: 123" in lines
    assert lines[-1] == "note: 5 rows are left out."
    first, *rest = lines[lines.index("") + 2 : -1]
    assert first.split()[-6:] == ["40", "%", "changed", "1.23", "%", "3e-12"]
    assert "".join(rest[:-1]).endswith("and income > 52")
    assert rest[-1].split() == [
        *(
            "age",
            ">",
            "3",
            "1,073",
            "40",
            "%",
            "failed",
            "(-1.5)",
            "1.23",
            "%",
            "3e-12",
        ),
    ]


def test_changes_without_a_place_say_how_many_were_looked_at():
    text = repr(show(replace(CHANGED, slices=())))
    assert "No slice stands out; 99 were looked at." in text


def test_a_shift_is_shown_in_numbers():
    shift = Shift(
        mean=0.5,
        quantiles=(-1.0, 0.0, 0.25, 1.0, 2.0),
        mean_before=10.0,
        mean_after=10.5,
        large=1.5,
    )
    lines = repr(show(replace(CHANGED, kind="numbers", flips=(), shift=shift)))
    assert "shift      +0.5 on average, from 10 to 10.5" in lines
    assert "1 %: -1, 50 %: 0.25, 99 %: 2 of the differences" in lines
    assert "changed    123 rows, 9.968 %, by 1.5 or more" in lines


def test_html_is_escaped():
    html = show(CHANGED)._repr_html_()
    assert "&lt;b&gt;xxx" in html
    assert "&lt;i&gt;good" in html
    assert "<b>" not in html
    assert "<i>" not in html
