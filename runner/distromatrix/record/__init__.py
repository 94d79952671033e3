"""What is known of a run while and after it runs: events, journal, folder, verdicts."""
