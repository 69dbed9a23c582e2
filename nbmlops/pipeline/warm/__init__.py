"""Warm runs: a notebook in a fork of a process that has imported what it imports.

`scan` says what a notebook imports and whether it needs a kernel, `choice` which of the
two it gets, and `client` runs it in a fork of a parent of `nbmlops.forkserver`.
"""
