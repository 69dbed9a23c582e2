"""What is shown below a cell: live output, figures, the panel and the grid of runs.

Nothing here opens or ends a run.
"""
