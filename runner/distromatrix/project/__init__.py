"""A project: its matrix loaded and planned, here or from a plan file."""
