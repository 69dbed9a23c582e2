"""The process that has imported, and the runs it forks.

Started as a script by the Python of the kernel, whose packages it is to see and no
others: nothing here imports nbmlops, nor is imported by it.
"""
