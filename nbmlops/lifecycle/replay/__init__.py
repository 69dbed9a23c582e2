"""Runs done again, and whether the same comes out."""
