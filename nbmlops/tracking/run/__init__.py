"""A run while it is open: started, given params and metrics, ended.

Writes to the run's journal. Sending it to the store is `nbmlops.tracking.sync`.
"""
