"""Real faults: killed processes, dying servers, lost replies, full disks.

Each module does one kind of fault, any number of times, and counts what came of it; the
tests do it a few times, ``python -m benchmarks.faults`` as often as its figures need.
"""
