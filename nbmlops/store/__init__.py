"""The only place that speaks MLflow: runs, the registry, artifacts, models.

Every function takes a `Store` first and imports mlflow when it is called, so that
importing this package costs nothing.
"""

from nbmlops.store.connection import Store, connect

__all__ = ["Store", "connect"]
