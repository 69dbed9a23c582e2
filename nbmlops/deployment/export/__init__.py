"""A model version as a folder that serves it elsewhere: in a container, on KServe."""
