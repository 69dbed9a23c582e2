"""The pipeline file: parsed, its values read, checked against notebooks and files.

All problems are reported at once, with their lines. Nothing here runs a step.
"""
