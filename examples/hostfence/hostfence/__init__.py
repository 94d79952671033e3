"""Fences a host: networks that are dropped, kernel settings, and records on a disk of their own."""
