"""Journals, sent to the store: in order, once, from any process.

Runs whose process has died are ended here too.
"""
