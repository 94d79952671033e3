"""A cluster of hosts, by Dask's `distributed`: the same run, its cells carried out elsewhere.

The client plans, decides and reports as ever; only who does the work is another (`team`). It
submits tasks, which are some cells of one distro each (`plan.batches`), and Dask gives them to
workers that have what they need. There the same `Executor` runs these cells (`project.hosted`).
What a cell made comes back as bytes that nobody believes (`merge.unpack`).
"""
