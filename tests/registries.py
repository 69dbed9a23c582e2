"""Registered models with many versions, made in a moment."""

from nbmlops.store import connect


def add_versions(model, n, *, store=None):
    """Register a model with so many versions, and return MLflow's own client."""
    client = (store or connect()).client
    client.create_registered_model(model)
    for _ in range(n):
        client.create_model_version(model, "s3://nowhere/model")
    return client
