"""The way to a Docker API, and the words in which it fails."""
