"""MLflow's scoring protocol: what a model takes, requests for it, and answers."""
