"""nbmlops in an IPython shell: magics, the tracked cell, and the output below it.

Only here are IPython and ipywidgets imported. What a magic does is done by
`nbmlops.lifecycle` and the areas.
"""
