"""What a run came from: cells and their order, files, source, commit, environment.

Kept with the run so that it can be replayed.
"""
