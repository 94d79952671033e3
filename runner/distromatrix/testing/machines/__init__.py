"""Machines for tests of one's own: fixtures, marks, testinfra's hosts."""
