"""Direct guests: QEMU started by us, from a kernel and a disk made of an image."""
