"""distromatrix: a product's own test suite, on every Linux distribution."""

__version__ = "0.2.0"
