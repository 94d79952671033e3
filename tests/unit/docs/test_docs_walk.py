"""The first pages, done as they are written, up to where they need an engine."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from documents import ROOT, blocks, pages
from walk import environ_with_program, walk

KNOWN = {"", "run", "engine", "guests", "prints", "written", "added", "file"}
KNOWN |= {"certificates", "configuration"}  # test_docs_cluster.py


def test_getting_started_without_an_engine(tmp_path: Path) -> None:
    product = tmp_path / "product"
    product.mkdir()
    (product / "Makefile").write_text("check:\n\tsh tests/sums.sh\n")
    environ = environ_with_program(tmp_path)
    walk(ROOT / "docs/getting-started.md", product, environ)


def test_a_distro_is_added_as_contributing_says(tmp_path: Path) -> None:
    walk(ROOT / "CONTRIBUTING.md", tmp_path, environ_with_program(tmp_path))
    assert (tmp_path / "distros/debian-12-slim.yaml").exists()


def test_what_the_pages_say_to_the_tests_is_known() -> None:
    notes = {re.split("[, ]", b.note)[0] for page in pages() for b in blocks(page)}
    assert notes <= KNOWN


def test_the_way_from_a_matrix_to_a_verdict_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    steps = re.findall(r"^\d+\. `([a-z_/]+\.py)`: (.*)$", text, re.M)
    assert 5 <= len(steps) <= 10
    for file, what in steps:
        tree = ast.parse((ROOT / "runner/distromatrix" / file).read_text("utf-8"))
        known = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        words = re.findall(r"`([A-Za-z_]+)`", what)
        assert words[0] in known, f"{file} has no {words[0]}"
