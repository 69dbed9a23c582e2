"""What each cell of a notebook reads and changes, and which cells another needs.

Read from the code alone; no value is looked at. In doubt a cell is needed.
"""
