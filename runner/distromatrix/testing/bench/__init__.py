"""The process that owns the machines, and how pytest's workers reach it."""
