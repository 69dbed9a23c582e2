"""Boosters of `xgboost.train` and `lightgbm.train`: stored in their own formats.

The folder is what MLflow's xgboost and lightgbm flavors write and read. A library's own
reader parses its format; no code of the file is run.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from nbmlops.errors import UsageError

_FORMATS = {
    "xgboost.core.Booster": ("xgboost", "model.ubj"),
    "lightgbm.basic.Booster": ("lightgbm", "model.lgb"),
}
FLAVORS = tuple(flavor for flavor, _ in _FORMATS.values())


def flavor_of(model: object) -> str | None:
    """Return the flavor of a booster; None of anything else, which is not asked."""
    return _FORMATS.get(_name_of(model), (None,))[0]


def _name_of(model: object) -> str:
    names = (f"{cls.__module__}.{cls.__qualname__}" for cls in type(model).__mro__)
    return next((name for name in names if name in _FORMATS), "")


def is_trained(model: Any) -> bool:  # noqa: ANN401
    """Return whether an object is a booster with at least one tree or weight."""
    counted = {"xgboost": "num_boosted_rounds", "lightgbm": "num_trees"}
    flavor = flavor_of(model)
    try:
        return flavor is not None and int(getattr(model, counted[flavor])()) > 0
    except Exception:  # noqa: BLE001 - each library has errors of its own
        return False


class Predictor:
    """A booster with the methods and attributes of an estimator."""

    def __init__(self, booster: Any) -> None:  # noqa: ANN401
        self.booster = booster
        self._is_xgboost = flavor_of(booster) == "xgboost"
        if self._is_xgboost:
            self.n_features_in_ = int(booster.num_features())
            if booster.feature_names is not None:
                self.feature_names_in_ = list(booster.feature_names)
            kinds = booster.feature_types
            self._has_categories = kinds is not None and "c" in kinds
        else:
            # It spells names in its own way, so they are not compared.
            self.n_features_in_ = int(booster.num_feature())
            self._has_categories = booster.pandas_categorical is not None

    def predict(self, rows: Any) -> Any:  # noqa: ANN401
        """Return what the booster predicts for a frame or array."""
        if self._has_categories and hasattr(rows, "select_dtypes"):
            words = rows.select_dtypes(include=["object", "string"]).columns
            rows = rows.astype(dict.fromkeys(words, "category"))
        if not self._is_xgboost:
            return self.booster.predict(rows)
        import xgboost

        matrix = xgboost.DMatrix(rows, enable_categorical=self._has_categories)
        return self.booster.predict(matrix)


def dump(booster: Any) -> tuple[bytes, str, str, dict[str, Any]]:  # noqa: ANN401
    """Return a booster's file and its name, its flavor and what MLmodel says of it."""
    name = _name_of(booster)
    flavor, file = _FORMATS[name]
    fields = {"code": None, "data": file, "model_class": name}
    version = import_module(flavor).__version__
    if flavor == "xgboost":
        content = bytes(booster.save_raw("ubj"))
        fields |= {"xgb_version": version, "model_format": "ubj"}
    else:
        content = booster.model_to_string().encode()
        fields["lgb_version"] = version
    return content, file, flavor, fields


def load(content: bytes, flavor: str) -> Predictor:
    """Return the booster in a file's content, ready to predict."""
    try:
        library = import_module(flavor)
        if flavor == "xgboost":
            if not (content.startswith(b"{") and content.endswith(b"}")):
                raise ValueError("not UBJSON")  # which would end the process
            return Predictor(library.Booster(model_file=bytearray(content)))
        return Predictor(library.Booster(model_str=content.decode()))
    except Exception as error:  # each library has errors of its own
        raise UsageError(
            f"The booster cannot be read: {type(error).__name__}: {error}.",
            fix="Log it again with nbmlops: run.log_model(booster, X).",
        ) from error
