"""How far a tqdm bar has come, as another thread sees it."""

import io
import threading

import pytest
from tqdm import tqdm

from nbmlops.notebook.output.panel import tqdm_progress


def _bar(*rounds, **options):
    return tqdm(*rounds, file=io.StringIO(), miniters=1, mininterval=0, **options)


def _seen():
    found = []
    thread = threading.Thread(target=lambda: found.append(tqdm_progress()))
    thread.start()
    thread.join()
    return found[0]


def test_the_count_of_a_bar_is_seen_from_another_thread():
    seen = [_seen() for _ in _bar(range(3), desc="epoch")]
    assert [(s.name, s.n_done, s.n_rounds) for s in seen] == [
        ("epoch", n, 3) for n in range(3)
    ]
    assert _seen() is None


def test_the_outermost_bar_with_a_known_length_counts():
    for _ in _bar(range(2), desc="outer"):
        for _ in _bar(iter("ab"), desc="endless"):
            for _ in _bar(range(9), desc="inner"):
                pass
        assert _seen().name == "outer"


def test_no_bar_and_a_disabled_bar_are_no_progress():
    assert _seen() is None
    for _ in tqdm(range(2), disable=True):
        assert _seen() is None


def test_the_time_left_follows_from_the_rounds_done():
    with _bar(total=10, desc="fit") as bar:
        bar.start_t -= 8
        bar.last_print_t -= 8
        bar.update(2)
        seen = _seen()
        assert seen.left_s == pytest.approx(32, rel=0.1)
        assert str(seen).startswith("fit 2 of 10, about 3")
