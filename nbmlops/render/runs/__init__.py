"""How runs look: as a table, and as a frame."""
