"""A shell kept open in a machine, and the commands that run through it."""
