"""Our own libvirtd, its domains and their saved states."""
