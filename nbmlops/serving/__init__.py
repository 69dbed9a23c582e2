"""What runs inside an endpoint's process.

The application, its authentication and its log. Imports no mlflow; starting and
stopping endpoints is `nbmlops.deployment`.
"""
