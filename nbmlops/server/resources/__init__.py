"""One file per REST resource: each parses, calls one function and answers.

Authentication, threads and errors are in `nbmlops.server._base`.
"""
