"""Base images: where a distro's first image comes from."""
