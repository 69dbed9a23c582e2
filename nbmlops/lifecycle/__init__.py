"""Compositions: the only place where areas meet. Doors call these.

One module per public function: register, deploy, compare, replay, explain, doctor.
Nothing here parses a command line or renders.
"""
