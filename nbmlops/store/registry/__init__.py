"""Registered models, their versions and aliases.

Read and written through MLflow; nothing is kept beside it.
"""
