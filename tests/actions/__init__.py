"""Carries out a workflow of GitHub's here: every `run:` as its runner would, the expressions by
a strict evaluator, the few actions that ours use by file doings. What it does not know, it refuses.
"""
