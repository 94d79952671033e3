"""Docker and Podman: containers, their images, networks and files."""
