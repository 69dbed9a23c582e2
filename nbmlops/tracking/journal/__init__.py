"""The journal of a run: records on disk before a call returns.

Segments of records with length and checksum, a writer and a reader. Nothing here
speaks to the store.
"""
