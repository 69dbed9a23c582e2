"""Shapley values of a model's columns for rows: with the base they sum to its output.

Linear models and those of few columns are explained here, held against the rows of the
input example. ``shap`` explains trees by the training rows that their nodes have
counted, and other models of many columns by permutations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import pandas as pd

from nbmlops.entities import Explained, ExplainMethod
from nbmlops.errors import DependencyError, UsageError

Array = np.ndarray[Any, Any]
Outputs = Callable[[Any], Array]
_MOST_EXACT_COLUMNS = 10
_N_PERMUTATIONS = 10
_N_CHECKED = 20
_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapley:
    """``contributions`` (n_rows, n_columns); ``base`` and ``output`` of each row."""

    of: Explained
    method: ExplainMethod
    labels: Sequence[Any] | None
    base: Array
    output: Array
    contributions: Array

    @property
    def has_sums(self) -> bool:
        """Whether base and contributions sum to the output."""
        found = self.base + self.contributions.sum(axis=1)
        return bool(np.allclose(found, self.output, rtol=_TOLERANCE, atol=_TOLERANCE))


def explain_rows(estimator: Any, rows: Any, known: Any, n_columns: int) -> Shapley:  # noqa: ANN401
    """Explain what an estimator gives for ``rows``, held against ``known`` ones."""
    final = estimator[-1] if hasattr(estimator, "steps") else estimator
    asked = _Asked(estimator, rows, known, n_columns)
    if hasattr(final, "coef_") or n_columns == 1:
        found = asked.by_columns()
        if found is not None:
            return found
    try:
        import shap
    except ImportError as error:
        if n_columns <= _MOST_EXACT_COLUMNS:
            return asked.by_coalitions()
        raise DependencyError(
            f"{type(final).__name__} is explained by shap, which is not installed.",
            fix="Install it: pip install 'nbmlops[explain]'.",
        ) from error
    if found := asked.by_trees(shap):
        return found
    if n_columns <= _MOST_EXACT_COLUMNS:
        return asked.by_coalitions()
    return asked.by_permutations(shap)


class _Asked:
    """An estimator, the rows to explain, and those that they are held against."""

    def __init__(self, estimator: Any, rows: Any, known: Any, n_columns: int) -> None:  # noqa: ANN401
        self._estimator, self._rows = estimator, rows
        self._outputs = _outputs(estimator)
        self._chosen, self._labels = _chosen(estimator, rows)
        self._mixed = _Mixed(known, rows, n_columns)
        n_known = len(known)
        self._known = self._mixed.whole(range(n_known))
        self._asked = self._mixed.whole(range(n_known, n_known + len(rows)))

    def _shapley(
        self,
        of: Explained,
        method: ExplainMethod,
        base: Array,
        contributions: Array,
    ) -> Shapley:
        """Return the values of the chosen outputs, from those of all."""
        row = np.arange(len(self._chosen))
        return Shapley(
            of=of,
            method=method,
            labels=self._labels,
            base=np.broadcast_to(base, (len(row), base.shape[-1]))[row, self._chosen],
            output=self._outputs[of](self._rows)[row, self._chosen],
            contributions=contributions[row, :, self._chosen],
        )

    def by_columns(self) -> Shapley | None:
        """Explain outputs that are a sum over the columns, as those of a linear model.

        A column's value is what it changes in the known rows, on average. None if the
        outputs are no such sum, because of products of columns, say.
        """
        of: Explained = next(iter(self._outputs))
        known = self._known
        base = self._values(of, known).mean(axis=0)
        checked = np.concatenate([self._asked, known[:_N_CHECKED]])
        whose = np.tile(known, (len(checked), 1))
        shape = (len(checked), len(known), -1)
        found = []
        for column in range(known.shape[1]):
            changed = whose.copy()
            changed[:, column] = np.repeat(checked[:, column], len(known))
            values = self._values(of, changed).reshape(shape)
            found.append(values.mean(axis=1) - base)
        contributions = np.stack(found, axis=1)
        sums, outputs = base + contributions.sum(axis=1), self._values(of, checked)
        if not np.allclose(sums, outputs, rtol=_TOLERANCE, atol=_TOLERANCE):
            return None
        n_rows = len(self._asked)
        return self._shapley(of, "linear", base, contributions[:n_rows])

    def by_trees(self, shap: Any) -> Shapley | None:  # noqa: ANN401 - the module
        """Explain trees that shap knows; None for all else."""
        if hasattr(self._estimator, "steps"):
            return None
        try:
            explainer = shap.TreeExplainer(
                self._estimator, feature_perturbation="tree_path_dependent"
            )
            values = np.asarray(
                explainer.shap_values(self._rows, check_additivity=False), float
            )
            base = np.atleast_1d(np.asarray(explainer.expected_value, float))
        except Exception:  # noqa: BLE001 - whatever it raises for what it does not know
            return None
        if values.ndim == 2:
            values, base = values[:, :, None], base[-1:]
            if self._labels is not None:  # the margin of the second of two classes
                values = np.concatenate([-values, values], axis=2)
                base = np.concatenate([-base, base])
        for of, outputs in self._outputs.items():
            if outputs(self._rows).shape[1] == values.shape[2]:
                found = self._shapley(of, "tree", base, values)
                if found.has_sums:
                    return found
        return None

    def by_coalitions(self) -> Shapley:
        """Explain any model of few columns by all sets of them, as Shapley defined."""
        of: Explained = list(self._outputs)[-1]
        known = self._known
        n_columns = known.shape[1]
        sets = np.arange(2**n_columns)
        has = (sets[:, None] >> np.arange(n_columns) & 1).astype(bool)
        weights = np.array(
            [1 / (n_columns * comb(n_columns - 1, n)) for n in range(n_columns)]
        )
        bases, found = [], []
        for row in self._asked:
            whose = np.where(has[:, None], row, known).reshape(-1, n_columns)
            values = self._values(of, whose).reshape(len(sets), len(known), -1)
            worth = values.mean(axis=1)
            bases.append(worth[0])
            gains = []
            for column in range(n_columns):
                without = sets[~has[:, column]]
                weight = weights[has[without].sum(axis=1)][:, None]
                gain = worth[without | 1 << column] - worth[without]
                gains.append((weight * gain).sum(axis=0))
            found.append(gains)
        return self._shapley(of, "exact", np.array(bases), np.array(found))

    def by_permutations(self, shap: Any) -> Shapley:  # noqa: ANN401 - the module
        """Explain any model by its outputs for rows of mixed values."""
        of: Explained = list(self._outputs)[-1]
        n_rows, n_columns = self._asked.shape
        masker = shap.maskers.Independent(self._known, max_samples=len(self._known))
        explainer = shap.PermutationExplainer(
            lambda whose: self._values(of, whose), masker, seed=0
        )
        most = _N_PERMUTATIONS * (2 * n_columns + 1)
        found = explainer(self._asked, max_evals=most, silent=True)
        return self._shapley(
            of,
            "permutation",
            found.base_values.reshape(n_rows, -1),
            found.values.reshape(n_rows, n_columns, -1),
        )

    def _values(self, of: Explained, whose: Array) -> Array:
        return self._outputs[of](self._mixed.of(whose))


class _Mixed:
    """Rows made of values of several: a matrix says whose value each column has."""

    def __init__(self, known: Any, rows: Any, n_columns: int) -> None:  # noqa: ANN401
        self._n_columns = n_columns
        if isinstance(rows, pd.DataFrame | pd.Series):
            self._all: Any = pd.concat([known, rows], ignore_index=True)
        elif isinstance(rows, list):
            self._all = [*known, *rows]
            self._keys = list(dict.fromkeys(key for row in self._all for key in row))
        else:
            self._all = np.concatenate([known, rows])

    def of(self, whose: Array) -> Any:  # noqa: ANN401 - what the model takes
        """Return rows whose column j has the value of row ``whose[:, j]``."""
        whose, found = whose.astype(int), self._all
        if isinstance(found, pd.DataFrame):
            columns = [
                found.iloc[:, j].take(whose[:, j]) for j in range(found.shape[1])
            ]
            return pd.concat(
                [each.reset_index(drop=True) for each in columns], axis="columns"
            )
        if isinstance(found, pd.Series):
            return found.take(whose[:, 0]).reset_index(drop=True)
        if isinstance(found, list):
            return [
                {
                    key: found[n][key]
                    for key, n in zip(self._keys, numbers, strict=True)
                    if key in found[n]
                }
                for numbers in whose.tolist()
            ]
        if found.ndim == 1:
            return found[whose[:, 0]]
        return found[whose, np.arange(found.shape[1])]

    def whole(self, numbers: Sequence[int]) -> Array:
        """Return the matrix that says: these rows as they are."""
        return np.repeat(np.asarray(numbers)[:, None], self._n_columns, axis=1)


def _outputs(estimator: Any) -> dict[Explained, Outputs]:  # noqa: ANN401
    """Return what of an estimator can be explained; for classes a column each."""
    if getattr(getattr(estimator, "classes_", None), "ndim", 0) != 1:
        return {"number": lambda rows: _numbers(estimator, rows)}
    found: dict[Explained, Outputs] = {}
    has_probabilities = hasattr(estimator, "predict_proba")
    if hasattr(estimator, "decision_function"):
        found["margin"] = lambda rows: _both(estimator.decision_function(rows))
    elif has_probabilities and len(estimator.classes_) == 2:  # as boosters have it
        found["margin"] = lambda rows: _log_odds(estimator.predict_proba(rows))
    if has_probabilities:
        found["probability"] = lambda rows: np.asarray(estimator.predict_proba(rows))
    if not found:
        raise UsageError(
            f"{type(estimator).__name__} gives labels alone, which are not explained.",
            fix="Deploy a classifier that has predict_proba or decision_function.",
        )
    return found


def _numbers(estimator: Any, rows: Any) -> Array:  # noqa: ANN401
    found = np.asarray(estimator.predict(rows))
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1 or found.dtype.kind not in "biuf":
        raise UsageError(
            f"{type(estimator).__name__} does not predict one number a row.",
            fix="What it answers is not explained.",
        )
    return found.astype(float)[:, None]


def _both(margins: Any) -> Array:  # noqa: ANN401
    found = np.asarray(margins)
    return np.column_stack([-found, found]) if found.ndim == 1 else found


def _log_odds(probabilities: Any) -> Array:  # noqa: ANN401
    found = np.asarray(probabilities, float)
    with np.errstate(divide="ignore"):
        odds: Array = np.log(found) - np.log1p(-found)
    return odds


def _chosen(estimator: Any, rows: Any) -> tuple[Array, list[Any] | None]:  # noqa: ANN401
    """Return which output of each row is explained, and its class."""
    if getattr(getattr(estimator, "classes_", None), "ndim", 0) != 1:
        return np.zeros(len(rows), int), None
    labels = np.asarray(estimator.predict(rows)).ravel()
    classes = list(estimator.classes_)
    return np.array([classes.index(each) for each in labels]), labels.tolist()
