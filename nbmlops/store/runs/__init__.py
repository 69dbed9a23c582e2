"""Runs: made and ended, found, resolved from a few words, and listed.

SQL for databases, MLflow's REST API for servers; both answer alike.
"""
