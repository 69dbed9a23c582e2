"""Why an endpoint answered a request as it did: what each column contributed."""
