"""Cells as pytest's items."""
