"""How results look: HTML for a notebook, plain text for everything else.

Larger pieces of HTML are Jinja2 templates. Nothing here reads a store.
"""
