"""The model card of a version."""

from __future__ import annotations

from nbmlops.lifecycle.version_detail import get_version_detail
from nbmlops.render.model_card import ModelCard
from nbmlops.store import Store, connect


def card(model: str, version: int, *, store: Store | None = None) -> ModelCard:
    """Return the model card of a version, made from what was recorded alone.

    Parameters
    ----------
    model : str
        Name of the registered model.
    version : int
        The version.
    store : Store, optional
        The project's store by default.

    Returns
    -------
    ModelCard
        It shows itself in a notebook; ``.markdown`` and ``.html`` are its text, and
        ``.save(path)`` writes a file.

    Raises
    ------
    NotFoundError
        No such model or version.
    """
    return ModelCard(get_version_detail(store or connect(), model, version))
