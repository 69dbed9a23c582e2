"""The notebook's door: magics, the tracked cell, and how results look."""
