import itertools
import math
import random
import threading

from nbmlops.tracking.run.curves import Curves


def test_few_points_are_kept_as_they_came():
    curves = Curves()
    curves.add("loss", [0, 1], [1.0, 0.5])
    curves.add("loss", [2], [0.25])
    assert curves.points("loss") == ((0, 1.0), (1, 0.5), (2, 0.25))
    assert curves.newest == {"loss": 0.25}
    assert curves.points("other") == ()


def test_a_million_points_keep_first_last_and_extremes_in_little_room():
    dice = random.Random(7)  # noqa: S311 - not a secret
    values = [dice.gauss(0, 1) for _ in range(1_000_000)]
    values[123_456], values[700_001] = 50.0, -50.0
    curves = Curves()
    for start in range(0, len(values), 10_000):
        end = start + 10_000
        curves.add("noise", range(start, end), values[start:end])
    points = curves.points("noise")
    assert len(points) <= 200
    assert sum(map(len, curves._points.values())) <= 400
    assert points[0] == (0, values[0])
    assert points[-1] == (999_999, values[-1])
    assert (123_456, 50.0) in points
    assert (700_001, -50.0) in points
    assert all((values[step] == value) for step, value in points)
    gaps = [later - step for (step, _), (later, _) in itertools.pairwise(points)]
    assert max(gaps) < 1_000_000 / 40  # the early part is not thinner than the late


def test_values_that_are_no_number_are_the_newest_but_no_point():
    curves = Curves()
    curves.add("loss", [0, 1, 2], [1.0, math.inf, math.nan])
    assert curves.points("loss") == ((0, 1.0),)
    assert math.isnan(curves.newest["loss"])
    curves.add("gone", [0], [math.nan])
    assert curves.points("gone") == ()


def test_steps_that_stand_still_or_go_back_do_no_harm():
    curves = Curves(n_points=20)
    curves.add("still", [0] * 1000, [float(value) for value in range(1000)])
    assert {(0, 0.0), (0, 999.0)} <= set(curves.points("still"))
    assert len(curves.points("still")) <= 20
    curves.add("back", [3, 1, 2], [3.0, 1.0, 2.0])
    assert curves.points("back") == ((1, 1.0), (2, 2.0), (3, 3.0))


def test_metrics_beyond_the_most_are_left_out():
    curves = Curves(n_metrics=3)
    for number in range(10):
        curves.add(f"m{number}", [0], [1.0])
    assert list(curves.newest) == ["m0", "m1", "m2"]
    assert curves.points("m9") == ()


def test_many_threads_lose_no_metric():
    curves = Curves()

    def fill(name):
        for step in range(2000):
            curves.add(name, [step], [float(step)])
            curves.points(name)

    threads = [threading.Thread(target=fill, args=(f"m{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert curves.newest == {f"m{n}": 1999.0 for n in range(4)}
    assert all(curves.points(f"m{n}")[-1] == (1999, 1999.0) for n in range(4))
