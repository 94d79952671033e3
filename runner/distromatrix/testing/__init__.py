"""The matrix inside pytest: cells as tests, machines for tests, shared by all workers.

pytest_plugin ─> collect ──> items ─────┐
                 fixtures ─> machines ──┼─> Bench ─ one process makes and ends everything:
                 hosts (testinfra) ─────┘           the one that pytest was started in
"""

SCHEME = "distromatrix"  # of testinfra's hosts that are ours
DEFAULT_FILE = "matrix/default.yaml"  # the matrix of a project, from its root
