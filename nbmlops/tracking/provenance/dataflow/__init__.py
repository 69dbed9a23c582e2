"""What each cell of a notebook reads and changes, and which cells another needs."""
