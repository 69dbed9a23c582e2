import numpy as np
import pytest

from nbmlops.deployment.supervisor.rules import find_broken
from nbmlops.serving.metrics import Comparison, bin_of, value_of


def answers(predictions, *, n_errors=0, milliseconds=1.0):
    found = Comparison()
    for each in predictions:
        found.add(200, milliseconds / 1e3, [each])
    for _ in range(n_errors):
        found.add(500, 0.0, ())
    found.add(400, 9.0, ())  # the client's fault
    return Comparison.read(found.document)


@pytest.mark.parametrize("number", [0.0, 1.0, -1.0, 3.7e-12, -8.1e9, 1e300, -5e-324])
def test_a_bin_is_two_per_cent_wide(number):
    assert value_of(bin_of(number)) == pytest.approx(number, rel=0.02, abs=1e-323)


def test_a_class_is_no_number():
    assert np.isnan(value_of("good"))
    assert np.isnan(value_of("+x"))


def test_errors_end_a_canary_once_it_has_answered_enough():
    rules = {"error_share": 0.01, "min_requests": 100}
    champion = answers(["a"] * 500)
    assert find_broken(rules, champion, answers(["a"] * 79, n_errors=20)) == ""
    why = find_broken(rules, champion, answers(["a"] * 80, n_errors=20))
    assert why == "error_share 0.2 is above 0.01, 100 requests"
    assert find_broken(rules, champion, answers(["a"] * 100, n_errors=1)) == ""


def test_a_slow_canary_is_ended_by_its_99th_percentile():
    rules = {"latency_ms_p99": 50}
    champion = answers([1] * 500)
    why = find_broken(rules, champion, answers([1] * 200, milliseconds=120))
    assert why.startswith("latency_ms_p99 12")
    assert find_broken(rules, champion, answers([1] * 200, milliseconds=40)) == ""


def test_a_few_slow_answers_end_no_canary():
    rules = {"latency_ms_p99": 50, "min_requests": 50}
    champion = answers([1] * 500)
    for n, n_slow, is_broken in ((50, 1, False), (50, 4, False), (50, 15, True)):
        canary = answers([1] * (n - n_slow))
        canary.latencies[bin_of(300)] += n_slow
        canary.n_requests += n_slow
        assert bool(find_broken(rules, champion, canary)) is is_broken


def test_a_busy_machine_that_slows_both_ends_no_canary():
    rng = np.random.default_rng(4)
    rules = {"latency_ms_p99": 50, "min_requests": 50}

    def drawn(n, share_slow, factor=1.0):
        slow = rng.random(n) < share_slow
        found = Comparison()
        for each in np.where(slow, 200, rng.lognormal(1, 0.5, n) * factor):
            found.add(200, each / 1e3, [1])
        return found

    for share_slow in (0.0, 0.02, 0.1, 0.5):
        for n in (50, 500, 3000):
            champion = drawn(4 * n, share_slow)
            for _ in range(5):
                assert find_broken(rules, champion, drawn(n, share_slow)) == ""
            slow = drawn(n, share_slow, factor=40)
            assert "latency_ms_p99" in find_broken(rules, champion, slow)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_shift_of_predictions_counts_beyond_chance(kind):
    rng = np.random.default_rng(3)
    rules = {"prediction_shift": 0.1, "min_requests": 200}

    def drawn(n, shift):
        if kind == "numbers":
            return rng.normal(10 + 4 * shift, 2, n).tolist()
        return rng.choice(["a", "b", "c"], n, p=[0.5 - shift, 0.3, 0.2 + shift])

    for _ in range(30):
        champion, same = answers(drawn(4000, 0)), answers(drawn(500, 0))
        assert find_broken(rules, champion, same) == ""
        other = answers(drawn(500, 0.4))
        assert "prediction_shift" in find_broken(rules, champion, other)


def test_nothing_is_said_before_there_are_requests():
    rules = {"error_share": 0.0, "prediction_shift": 0.0, "min_requests": 1}
    assert find_broken(rules, Comparison(), Comparison()) == ""
