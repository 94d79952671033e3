"""What GitHub shows of a run."""
