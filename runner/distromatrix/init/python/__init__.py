"""Python products: what they say of themselves, and the suites that follow from it."""
