"""The rows that are stored with a model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbmlops._masking import mask_tree
from nbmlops.scoring.payload import document, strict_json
from nbmlops.scoring.signature import RowKind, read_mlmodel

_EXAMPLE = "input_example.json"
_SERVING_EXAMPLE = "serving_input_example.json"
_MOST_DENSE = 100_000
_MLFLOW_TYPES = {
    "frame": "dataframe",
    "dicts": "json_object",
    "sparse": "sparse_matrix_csr",
}
_MOST_COLUMNS = 1000
_KINDS = ("ndarray", *_MLFLOW_TYPES.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Rows as they were stored: JSON in the form that ``kind`` says."""

    kind: str
    rows: Any

    @property
    def n_rows(self) -> int:
        """How many there are."""
        if self.kind.startswith("sparse"):
            return int(self.rows["shape"][0])
        return len(self.rows["data"] if isinstance(self.rows, dict) else self.rows)

    def request(self) -> dict[str, object]:
        """Return a request for them, in MLflow's scoring protocol."""
        if self.kind == "dataframe":
            return {"dataframe_split": self.rows}
        if self._is_dicts():
            return {"dataframe_records": self.rows}
        return {"inputs": self.rows}

    def table(self) -> dict[str, list[Any]] | None:
        """Return ``columns`` and ``data``; None when that is too wide to show."""
        columns, data = None, self.rows
        if self.kind.startswith("sparse"):
            if self.rows["shape"][1] > _MOST_COLUMNS:
                return None
            data = document(_matrix(self.rows).toarray())
        elif self._is_dicts():
            columns = list(dict.fromkeys(name for row in self.rows for name in row))
            data = [[row.get(name) for name in columns] for row in self.rows]
        elif isinstance(self.rows, dict):
            columns, data = self.rows.get("columns"), self.rows["data"]
        if not isinstance(data[0], list):
            data = [[row] for row in data]
        return {
            "columns": columns or [str(i) for i in range(len(data[0]))],
            "data": data,
        }

    def _is_dicts(self) -> bool:
        return isinstance(self.rows, list) and isinstance(self.rows[0], dict)


def example_files(
    kind: RowKind,
    head: Any,  # noqa: ANN401
) -> tuple[dict[str, str], dict[str, object]]:
    """Return the example as MLflow keeps it: files, and what is said of them."""
    rows = mask_tree(document(head))
    info = {"artifact_path": _EXAMPLE, "type": _MLFLOW_TYPES.get(kind, "ndarray")}
    if kind == "frame":
        info["pandas_orient"] = "split"
    files = {_EXAMPLE: strict_json(rows)}
    if kind == "sparse":
        if head.shape[0] * head.shape[1] > _MOST_DENSE:
            return files, {**info}
        rows = document(head.toarray())
    layout = "dataframe_split" if kind == "frame" else "inputs"
    files[_SERVING_EXAMPLE] = strict_json({layout: rows})
    return files, {**info, "serving_input_path": _SERVING_EXAMPLE}


def read_example(folder: Path) -> Example | None:
    """Return the rows that were stored with a model; None when there are none."""
    info = read_mlmodel(folder).get("saved_input_example_info") or {}
    name, kind = str(info.get("artifact_path")), str(info.get("type"))
    path = folder / name
    if Path(name).name != name or not path.is_file():
        return None
    try:
        # MLflow writes a missing number as a bare NaN, which is not JSON.
        rows = json.loads(path.read_bytes(), parse_constant=lambda _: None)
        if kind == "sparse_matrix_csc":
            rows, kind = document(_matrix(rows, is_csc=True)), "sparse_matrix_csr"
        example = Example(kind=kind, rows=rows)
        if kind in _KINDS and example.n_rows > 0:
            example.table()  # what is damaged is no example
            return example
    except (ValueError, LookupError, TypeError):
        pass
    return None


def _matrix(rows: dict[str, Any], *, is_csc: bool = False) -> Any:  # noqa: ANN401
    from scipy.sparse import csc_matrix, csr_matrix

    make = csc_matrix if is_csc else csr_matrix
    data = [float("nan") if value is None else value for value in rows["data"]]
    parts = (data, rows["indices"], rows["indptr"])
    return make(parts, shape=tuple(rows["shape"])).tocsr()
