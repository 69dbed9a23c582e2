"""A process that explains, and what becomes of its end."""

import pytest

from nbmlops.errors import DeployError, NotFoundError
from nbmlops.serving.explainer import explain


@pytest.mark.parametrize("wrong", ["", "\0", "../x", "a b", "x" * 200])
def test_what_is_no_id_starts_no_process(tmp_path, wrong):
    with pytest.raises(NotFoundError, match="is no id of a request"):
        explain("nowhere", tmp_path / "gone", wrong)


def test_a_process_that_fails_is_named_and_one_that_hangs_is_ended(tmp_path):
    with pytest.raises(DeployError, match="failed when it was explained"):
        explain("nbmlops.nowhere", tmp_path, "abc")
    with pytest.raises(DeployError, match="not explained within 0 s"):
        explain("nbmlops.deployment.explain", tmp_path, "abc", timeout_s=0.01)
    with pytest.raises(DeployError, match="could be started"):
        explain("nbmlops.deployment.explain", tmp_path / "gone", "abc")
    with pytest.raises(NotFoundError, match="No endpoint"):
        explain("nbmlops.deployment.explain", tmp_path, "abc")
