"""Processes forked from one that has imported: runs of notebooks, and workers.

`parents` finds or starts the parent of an environment, `workers` has it fork a worker,
`nbmlops.pipeline.warm` a run of a notebook. ``host`` is what runs in the parent and its
forks.
"""
