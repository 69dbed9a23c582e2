"""A script that logs one value after the other until its stdin ends.

Its lines are those of a logger of the nursery; the last one, ``done JSON``, holds the
longest call and the end of the run, in seconds.
"""

import json
import sys
import threading
import time

import nbmlops as nm
from tests.faults.broken import break_if_asked
from tests.faults.ledger import METRIC, value_of
from tests.faults.nursery import say

PAUSE_S = 0.01


def main(name):
    """Log until reported to end."""
    is_over = threading.Event()

    def wait_for_end():
        sys.stdin.read()
        is_over.set()

    break_if_asked()
    threading.Thread(target=wait_for_end, daemon=True).start()
    longest_s, step = 0.0, 0
    with nm.track(name, experiment="faults") as run:
        say("open")
        while not is_over.wait(PAUSE_S):
            began = time.perf_counter()
            run.log_metrics({METRIC: value_of(name, step)}, step=step)
            longest_s = max(longest_s, time.perf_counter() - began)
            say(f"ack {step}")
            step += 1
        ending = time.perf_counter()
    end_s = time.perf_counter() - ending
    say("done " + json.dumps({"longest_s": longest_s, "end_s": end_s}))


if __name__ == "__main__":
    main(sys.argv[1])
