"""What strace is asked to write down, and the `reads` that follow from it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from executing import cell

from distromatrix.model import Plan, Product
from distromatrix.plan.scripts import passed_to, under
from distromatrix.plan.traced import reads_for, traced

FILES = [
    *("setup.py", "setup.cfg", "README.md", "NEWS.md"),
    *("src/a.py", "src/b.py", "src/deep/c.py", "src/data.bin"),
    *(f"docs/{n}.md" for n in range(9)),
    *("tests/test_a.py", "tests/test_b.py", "tests/data/x", "tests/data/y", "tests/data/z"),
]


@pytest.mark.parametrize(
    ("opened", "reads"),
    [
        ([], ()),
        (["setup.py"], ("setup.py",)),
        (["README.md", "NEWS.md"], ("*.md",)),
        (["src/a.py", "src/b.py"], ("src/**",)),
        (["src/deep/c.py"], ("src/deep/**",)),
        (["docs/1.md", "docs/2.md"], ("docs/1.md", "docs/2.md")),
        (["tests/test_a.py", "tests/test_b.py"], ("tests/*.py",)),
        (["tests/data/x", "tests/data/y"], ("tests/data/**",)),
        (["not/known", "setup.cfg"], ("setup.cfg", "not/**")),
        (["docs/a*b.md"], ("docs/a?b.md",)),
    ],
)
def test_globs_are_no_wider_than_twice_what_was_opened(
    opened: list[str], reads: tuple[str, ...]
) -> None:
    assert reads_for(opened, FILES) == reads


def test_a_traced_cell_has_strace_and_runs_the_same_scripts() -> None:
    before = cell("a/one", "make check", setup=("make",), shell="bash", packages=("gcc",))
    here = Path()
    plan = Plan(matrix=here, root=here, product=Product(path=here), cells=(before,))
    (after,) = traced(plan).cells
    assert after.packages == (*before.packages, "strace")
    assert traced(traced(plan)).cells[0].packages == after.packages
    assert before.run in after.run
    assert len(after.setup) == len(before.setup)


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_script_is_passed_to_a_call_as_it_is(size: int) -> None:
    script = f'echo "it\'s $0 $#"\n: {"x" * size}\necho \\$end\n'
    done = subprocess.run(
        ["sh", "-c", passed_to("exec sh -e -c", "sh", under("sh", script))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "it's sh 0\n$end\n"
