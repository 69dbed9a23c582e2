"""``python -m nbmlops.cli``."""

from nbmlops.cli.main import main

main()
