"""Records runs truthfully: what was given, what it came from, how it ended.

Everything goes to a journal on disk first, and from there to the store. Nothing here
runs a notebook or knows of pipelines.
"""
