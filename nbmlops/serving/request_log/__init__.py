"""The log of an endpoint: Parquet files of its requests and of their labels."""
