"""Which cell is begun when, and for how many there is room."""
