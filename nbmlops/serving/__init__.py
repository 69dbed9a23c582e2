"""What runs inside an endpoint's process; imports no mlflow."""
