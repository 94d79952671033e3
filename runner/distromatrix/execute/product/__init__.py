"""The product's files as they go into machines."""
