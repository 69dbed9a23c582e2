"""The layouts of requests for predictions, and of their answers."""
