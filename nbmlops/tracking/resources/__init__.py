"""What a run takes: time, memory, cost, and the budget that stops it.

Measures this process and its children alone.
"""
