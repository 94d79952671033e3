"""How items are spread over pytest-xdist's workers."""
