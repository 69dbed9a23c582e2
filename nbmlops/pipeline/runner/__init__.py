"""A pipeline's run: planned, given to workers, recorded.

The runner plans and records; a worker runs one step and stores its result.
"""
