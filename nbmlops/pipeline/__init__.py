"""Many steps: pipelines and sweeps of notebooks, planned, cached, run and recorded.

A plan needs no kernel and no store. One notebook is run by `nbmlops.execution`; what
areas have in common with pipelines meets in `nbmlops.lifecycle`.
"""
