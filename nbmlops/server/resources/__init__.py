"""One file per REST resource: each parses, calls one function and answers.

Authentication, threads and errors are in `nbmlops.server._base`.
"""

from nbmlops.server.resources import audit, endpoints, models, pipelines, project, runs

__all__ = ["audit", "endpoints", "models", "pipelines", "project", "runs"]
