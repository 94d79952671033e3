"""What is kept of images: keys, lists, and files to carry them in."""
