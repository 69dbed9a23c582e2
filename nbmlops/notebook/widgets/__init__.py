"""What can be clicked in a notebook; each also leaves an output that stays."""
