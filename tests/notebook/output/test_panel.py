import json
import math
from html.parser import HTMLParser
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from nbmlops.notebook.output.panel import Panel, Progress
from nbmlops.render.svg import sparkline

_HOSTILE = "<img src=x onerror='alert(1)'>\"&"


class _Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.all = []

    def handle_starttag(self, tag, attrs):
        self.all.append((tag, dict(attrs)))


def _panel(**given):
    empty = {"facts": [], "progress": None, "params": {}, "metrics": {}, "curves": {}}
    return Panel(**{"status": "RUNNING", **empty, **given})


@pytest.mark.parametrize("character", ["m", "&", "'", "\N{GRINNING FACE}"])
def test_text_and_html_stay_below_45_kb_whatever_is_logged(character):
    long = character * 5000
    points = tuple((step * 1e6, math.sin(step) * 1e-7) for step in range(200))
    panel = _panel(
        facts=["12 s"],
        progress=Progress(name="i", n_done=3, n_rounds=10, left_s=4.2),
        params={f"{number}{long}": long for number in range(1000)},
        metrics={f"{number}{long}": 1e-7 / 3 for number in range(10_000)},
        curves={f"{number}{long}": points for number in range(50)},
    )
    data = {"text/html": panel.html(), "text/plain": panel.text()}
    assert len(json.dumps(data, ensure_ascii=False).encode()) < 45_000
    assert "and 9,976 more metrics" in panel.html()
    assert "and 970 more params" in panel.text()


def test_what_was_logged_is_text_and_no_markup():
    panel = _panel(
        facts=[_HOSTILE],
        params={_HOSTILE: _HOSTILE},
        metrics={_HOSTILE: 1.0},
        curves={_HOSTILE: ((0, 1.0), (1, 2.0))},
        progress=Progress(name=_HOSTILE, n_done=0, n_rounds=2, left_s=None),
    )
    (found := _Elements()).feed(panel.html())
    assert {name for name, _ in found.all} == {"div", "span", "b", "img"}
    ((_, image),) = [each for each in found.all if each[0] == "img"]
    assert set(image) == {"alt", "width", "height", "src"}
    assert image["src"].startswith("data:image/svg+xml,")
    assert _HOSTILE in image["alt"]


def test_numbers_times_and_progress_are_readable():
    panel = _panel(
        facts=["2 min 5 s", "cpu 40 s"],
        params={"C": "0.5"},
        metrics={"loss": 0.123456, "broken": math.nan},
        progress=Progress(name="epoch", n_done=4, n_rounds=10, left_s=65),
    )
    assert panel.text() == (
        "RUNNING · 2 min 5 s · cpu 40 s · epoch 4 of 10, about 1 min 5 s left\n"
        "C: 0.5\nloss 0.1235\nbroken nan"
    )
    assert "width:40.0%" in panel.html()


def test_a_curve_is_an_image_that_says_what_it_shows():
    curve = ((0, 2.0), (1, 1.0), (9, 0.5))
    html = _panel(metrics={"loss": 0.5}, curves={"loss": curve}).html()
    assert 'alt="loss: 2 at step 0, 0.5 at step 9"' in html
    svg = unquote(html.partition("data:image/svg+xml,")[2].partition('"')[0])
    line = ElementTree.fromstring(svg)[0].attrib["points"]  # noqa: S314 - our own
    assert line == "2,2 17.1,20.7 138,30"


@pytest.mark.parametrize(
    "points",
    [
        ((0, 1.0),),
        ((0, 1.0), (0, 1.0)),
        ((0, -1.7e308), (1, 1.7e308)),
        ((-5, 0.0), (10**12, 1e-300)),
    ],
)
def test_any_finite_points_make_a_curve_inside_its_frame(points):
    svg = ElementTree.fromstring(sparkline(points, width=100, height=20))  # noqa: S314
    for place in svg[0].attrib["points"].split():
        x, y = map(float, place.split(","))
        assert 0 <= x <= 100
        assert 0 <= y <= 20
