"""Parameters of a notebook: declared types, given values, the cell that sets them.

Nothing here runs a cell or reads a pipeline file.
"""
