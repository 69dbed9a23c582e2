"""What a worker does in the tests of engines: ``python -m tests.engines.chores``."""

import os
import signal
import sys
import time
from pathlib import Path

from nbmlops.engines.local import serve

FLAVOUR = os.environ.get("FLAVOUR")


def do(task, report):
    """Do a chore, a tuple of its name and what it needs."""
    match task:
        case ("add", a, b):
            return a + b
        case ("flavour",):
            return os.getppid(), FLAVOUR
        case ("where",):
            return os.getpid(), str(Path.cwd()), os.environ.get("CHORE")
        case ("report", begun, end):
            report("first")
            report("second")
            Path(begun).touch()
            while not Path(end).exists():
                time.sleep(0.02)
        case ("die", number):
            os.write(sys.stderr.fileno(), b"last words\n")
            os.kill(os.getpid(), number)
        case ("sleep", began):
            signal.signal(signal.SIGTERM, lambda *_: os._exit(3))
            Path(began).write_text(str(os.getpid()))
            time.sleep(600)
    return None


if __name__ == "__main__":
    serve(do)
