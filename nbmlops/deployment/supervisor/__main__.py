"""``python -m nbmlops.deployment.supervisor FOLDER FD``."""

import sys

from nbmlops.deployment.supervisor.supervisor import main
from nbmlops.deployment.supervisor.target import LocalTarget

if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), LocalTarget()))
