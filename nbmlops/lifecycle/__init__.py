"""Compositions: the only place where areas meet. Doors call these."""
