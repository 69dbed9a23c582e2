"""One file per REST resource: each parses, calls one function and answers.

Authentication, threads and errors are in `nbmlops.server._base`.
"""

from nbmlops.server.resources import endpoints, models, pipelines, project, runs

__all__ = ["endpoints", "models", "pipelines", "project", "runs"]
