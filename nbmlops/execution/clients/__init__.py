"""What runs the cells: a kernel, or a fork of a process that has imported.

Both report each cell to the same observer. Which one fits is decided here; what is
recorded of it is not.
"""
