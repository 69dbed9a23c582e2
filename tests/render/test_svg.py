import math
import re
import xml.etree.ElementTree as ET

import pytest

from nbmlops.render.svg import sparkline

NAN, INF = math.nan, math.inf


def drawn(points, **size):
    """Return the polylines' places, having read the picture as XML."""
    picture = ET.fromstring(sparkline(points, **size))  # noqa: S314 - our own
    lines = [line.get("points").split() for line in picture.iter("polyline")]
    return [[tuple(map(float, p.split(","))) for p in line] for line in lines]


def test_the_curve_goes_from_corner_to_corner_upwards():
    (line,) = drawn([(0, 0.0), (5, 5.0), (10, 10.0)], width=84, height=24)
    assert line == [(2, 22), (42, 12), (82, 2)]


def test_a_point_that_is_not_finite_is_a_gap():
    lines = drawn([(0, 1), (1, 2), (2, NAN), (3, INF), (4, 1), (5, -INF), (6, 2)])
    assert [len(line) for line in lines] == [2, 2, 2]
    (left, height), (right, level) = lines[1]
    assert (right - left, level) == (pytest.approx(1), height)


def test_nothing_finite_is_no_picture():
    assert sparkline([]) == sparkline([(0, NAN), (1, INF)]) == ""


@pytest.mark.parametrize(
    "points", [[(0, 5.0)], [(0, 5.0), (1, 5.0)], [(3, 1.0), (3, 2.0)]]
)
def test_one_point_and_level_lines_are_drawn_in_the_middle(points):
    places = [place for line in drawn(points, width=20, height=10) for place in line]
    assert all(2 <= x <= 18 and 2 <= y <= 8 for x, y in places)


def test_the_largest_numbers_do_not_overflow():
    (line,) = drawn([(0, -1.7e308), (1, 1.7e308)], width=20, height=10)
    assert line == [(2, 8), (18, 2)]


def test_a_long_history_is_thinned_and_keeps_its_ends():
    points = [(n, float(n)) for n in range(10_000)]
    (line,) = drawn(points, width=104, height=24)
    assert len(line) == 50
    assert (line[0], line[-1]) == ((2, 22), (102, 2))
    assert len(sparkline(points)) < 1000


def test_it_takes_the_colour_around_it_and_runs_nothing():
    picture = sparkline([(0, 1.0), (1, 2.0)])
    assert "currentColor" in picture
    assert not re.search(r"<script|on\w+=|#[0-9a-f]{3}", picture)
