"""``python -m nbmlops.deployment.ray FOLDER FD``."""

import sys

from nbmlops.deployment.ray.target import RayTarget
from nbmlops.deployment.supervisor.supervisor import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), RayTarget()))
