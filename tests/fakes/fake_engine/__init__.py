"""An engine without containers, for tests: it runs scripts on this host."""
