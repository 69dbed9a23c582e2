"""Who changed what: the audit log, and the moves of aliases that it records.

Changes are made and read here; what follows from one is decided in `nbmlops.lifecycle`.
"""
