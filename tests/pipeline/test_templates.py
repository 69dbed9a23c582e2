import pytest

from nbmlops.entities import StepReport
from nbmlops.errors import UsageError
from nbmlops.pipeline.spec.templates import render


def test_a_step_that_is_not_done_is_reported_with_those_that_are():
    done = {"train": StepReport(step="train", state="done", values={"auc": 0.5})}
    assert render(["${{ steps.train.values.auc }}"], done) == [0.5]
    with pytest.raises(UsageError) as caught:
        render({"x": "is ${{ steps.trian.values.auc }}"}, done)
    assert "No step 'trian' is done" in caught.value.problem
    assert "Did you mean 'train'?" in caught.value.problem
    with pytest.raises(UsageError, match="none does"):
        render("${{ steps.train.values.auc }}", {})
