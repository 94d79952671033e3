"""What is offered for a package that does not exist."""

from __future__ import annotations

from distromatrix.images.packages.suggest import hint

AVAILABLE = ("python3", "python3-pytest", "python3-pytest-cov", "git", "gcc", "zlib1g")
COMMON = {"pytest": ("py3-pytest",), "compiler": ("gcc", "musl-dev"), "git": ("git",)}


def test_a_slip_is_answered_with_the_nearest_name_first() -> None:
    (said,) = hint(("python3-pytset",), AVAILABLE, {})
    assert said.startswith("near: python3-pytest")


def test_of_several_each_gets_its_own() -> None:
    assert tuple(hint(("zlib1gg", "gti"), ("zlib1g", "git"), {})) == ("near: zlib1g (for zlib1gg)",)
    (said,) = hint(("zlib1gg", "pyhton3"), AVAILABLE, {})
    assert said == "near: zlib1g (for zlib1gg); python3 (for pyhton3)"


def test_another_distributions_name_is_answered_with_the_common_one() -> None:
    assert tuple(hint(("python3-pytest",), ("py3-yaml",), COMMON)) == (
        "the common name `pytest` stands for py3-pytest here",
    )
    assert tuple(hint(("compilr",), (), COMMON)) == (
        "the common name `compiler` stands for gcc musl-dev here",
    )


def test_what_a_common_name_stood_for_is_not_answered_with_that_name() -> None:
    assert tuple(hint(("py3-pytest",), (), COMMON)) == ()


def test_what_is_like_nothing_is_told_without_a_hint() -> None:
    assert tuple(hint(("nosuch-distromatrix",), AVAILABLE, COMMON)) == ()


def test_hints_are_bounded() -> None:
    missing = tuple(f"package{i}" for i in range(50))
    available = tuple(f"package{i}x" for i in range(50))
    (said,) = hint(missing, available, {})
    assert said.count("(for ") == 5
