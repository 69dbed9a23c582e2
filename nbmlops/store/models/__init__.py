"""Models as files: written without pickle, read without running code.

What a stored model may hold is decided here; versions are in `nbmlops.store.registry`.
"""
