"""Endpoints on a cluster of Ray.

A supervisor of its own has Ray Serve run each version, and a router before them. Only
this package imports ray; what answers a request is `nbmlops.serving`, as elsewhere.
"""
