"""What a model version does with logged requests, and where it does otherwise."""
