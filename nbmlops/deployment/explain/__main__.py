"""A request explained: ``python -m nbmlops.deployment.explain FOLDER REQUEST_ID``.

FOLDER is an endpoint's. Prints one JSON document, of the contributions or an error.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from nbmlops.deployment.explain.request import explain_request
from nbmlops.entities import to_json
from nbmlops.errors import NbmlopsError


def main(folder: Path, request_id: str) -> int:
    """Explain a request, and return the exit code."""
    printed = os.dup(1)
    os.dup2(2, 1)  # a model's own code may print
    try:
        document, code = to_json(explain_request(folder, request_id)), 0
    except NbmlopsError as error:
        document, code = {"error": type(error).__name__}, 1
        document |= {"problem": error.problem, "fix": error.fix}
    with os.fdopen(printed, "w", encoding="utf-8") as file:
        json.dump(document, file)
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
