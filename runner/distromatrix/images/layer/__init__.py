"""The layer of packages and preparation over a base image."""
