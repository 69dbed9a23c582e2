"""Sweeps: one notebook, run with many sets of parameters.

::

    sweeping   what a user calls: checks all of it, runs it, tells what came of it
    checking   whether names and values are what the notebook declares
    listed     the sets of a grid or a list
    space      the ranges and choices of a search
    search     the sets that Optuna asks for, what it remembers, what it gives up
    texts      grids and spaces as they are typed
    tally      how far it has come
"""
