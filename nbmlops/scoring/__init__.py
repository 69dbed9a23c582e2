"""MLflow's scoring protocol: what a model takes, requests for it, and answers.

Used when a model is logged, served and called, so that all three agree. Needs no
mlflow and no store.
"""
