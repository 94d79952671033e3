"""What comes out of a machine, made safe: output, JUnit files, artifacts."""
