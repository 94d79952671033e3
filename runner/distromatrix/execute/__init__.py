"""Running a plan: the snapshot, the schedule, one cell, and the sweep of what dead runs left."""
