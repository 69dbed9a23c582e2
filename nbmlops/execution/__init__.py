"""One notebook, run as one tracked run.

Reads the notebook, checks its parameters, picks a kernel or a fork, follows the cells
and records what came of it. Knows nothing of pipelines.
"""
