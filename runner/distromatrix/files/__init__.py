"""Files and folders, made, found, read and removed so that nobody else has a hand in it; Git."""
