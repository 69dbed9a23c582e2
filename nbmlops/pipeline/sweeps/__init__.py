"""Sweeps: one notebook, run with many sets of parameters: a grid, a list or a search.

What is asked for is checked as a whole before anything runs. Nothing here starts a
process: the runner does.
"""
