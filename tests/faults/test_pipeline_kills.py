"""A pipeline that was killed at any point continues from what is done."""

import pytest

from tests.faults.pipeline_kills import kill_pipelines


@pytest.mark.kernel
def test_the_same_command_ends_what_was_killed(tmp_path):
    tally = kill_pipelines(3, 20261120, folder=tmp_path)
    assert not [name for name in tally if name.startswith("fault")], tally
    assert tally["killed"] >= 1
    assert tally["right"] + tally["refused"] == 5  # two are left alone
