"""Registered models, their versions and aliases.

Read by SQL or REST, written through MLflow; nothing is kept elsewhere.
"""
