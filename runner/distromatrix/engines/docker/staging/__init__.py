"""How a product's files get into a container."""
