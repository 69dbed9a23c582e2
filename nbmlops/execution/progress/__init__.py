"""Progress of what runs, on disk: written by the run, read by every door.

Holds cells and steps and their states. What is final is in MLflow, not here.
"""
