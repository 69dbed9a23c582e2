"""What a run came from: cells and their order, files, source, commit, environment.

Stored with the run so that it can be replayed. Nothing here runs a cell.
"""
