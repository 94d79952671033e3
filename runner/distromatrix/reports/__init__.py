"""Ways to show a run. All of them consume events and results; none asks an engine."""
