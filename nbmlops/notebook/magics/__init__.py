"""The magics: each parses its line, calls one function, returns what shows itself.

Options are parsed here; what they mean is not decided here.
"""
