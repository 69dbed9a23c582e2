"""The log of a process that has forked, and of one that was."""

import subprocess
import sys

_CODE = """
import logging
from pathlib import Path
from nbmlops.serving.log import keep_log, leave_log
keep_log(Path("/dev/full"))
logging.error("what nobody can write")
leave_log()
print("left")
"""


def test_a_fork_leaves_a_log_that_a_full_disk_did_not_take():
    words = [sys.executable, "-c", _CODE]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "left\n"
