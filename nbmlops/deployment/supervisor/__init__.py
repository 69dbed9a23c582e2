"""The process that owns the sockets of a project's endpoints and forks their workers.

One a project. It imports no store and no MLflow: who deploys brings the files. Workers
outlive it, and the next one takes them over.
"""
