"""The tmt trees whose verdicts are compared, tmt's own with ours. They were chosen by what their
metadata ask for, before any of them was run: two products of others' that are tested with tmt, and
of tmt's own tests' data those that have every result, shell options, environments and odd names."""

# A source distribution, and the folder of the tree in it.
TREES = (
    ("fmf==1.7.0", "."),
    ("specfile==0.41.1", "."),
    ("tmt==1.78.0", "tests/execute/result/basic"),
    ("tmt==1.78.0", "tests/report/junit/basic/data"),
    ("tmt==1.78.0", "tests/core/environment/data"),
)
