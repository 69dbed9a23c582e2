"""``%promote`` and ``%rollback``."""

import pytest

from nbmlops.config import load_settings
from nbmlops.errors import ConflictError, UsageError
from nbmlops.governance.audit_log import AuditLog
from tests.registries import add_versions


def test_an_alias_is_moved_and_moved_back(shell):
    client = add_versions("churn", 3)
    assert "promoted" in repr(shell.run_line_magic("promote", "churn 1"))
    line = "churn 2 --to champion --reason 'much better'"
    assert "churn/2" in shell.run_line_magic("promote", line)._repr_html_()
    shell.run_line_magic("promote", "churn 2 --to challenger")
    with pytest.raises(ConflictError) as caught:
        shell.run_line_magic("promote", "churn 3 --expected 1")
    assert "names now as --expected." in caught.value.fix
    assert (
        "rolled back"
        in shell.run_line_magic("rollback", "churn --reason worse")._repr_html_()
    )
    assert client.get_registered_model("churn").aliases == {
        "champion": 1,
        "challenger": 2,
    }
    whys = [event.why for event in AuditLog(load_settings()).read()]
    assert whys == ["", "much better", "", "worse"]


def test_a_version_that_is_no_number_is_refused(shell):
    with pytest.raises(UsageError, match="invalid int value: 'x'"):
        shell.run_line_magic("promote", "churn x")
