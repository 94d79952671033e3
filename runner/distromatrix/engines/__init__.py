"""Engines: what opens machines."""
