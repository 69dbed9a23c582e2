"""The notebook as a file: read, compared, rendered, masked and saved.

Nothing here runs a cell or knows of a run.
"""
