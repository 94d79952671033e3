"""Tests that a product has in another format, read as suites: one file a format.

    suites: {import: debian/tests}  ─ graft ─> the format's `read_suites` ─> Imported
                                               └─ the same checks as for suites that are written out

To add a format, write a file with `is_there` and `read_suites`, and name it in `formats.py`.
"""
