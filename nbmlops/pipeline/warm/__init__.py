"""Warm runs: a parent that has imported forks a process for each run of a notebook.

On the client's side `scan` says what a notebook imports and whether it needs a kernel,
`parents` finds or starts the parent of an environment, and `client` runs a notebook in
a fork of it. ``host`` is what runs in the parent and its forks.
"""
