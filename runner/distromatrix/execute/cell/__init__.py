"""One cell: opening its machine, its hooks, its attempts, and what it leaves."""
