"""`suites: {import: …}`: what is read stands in the matrix as if it were written."""

from pathlib import Path

import pytest
from loading import Project

CONTROL = "Source: a\n\nPackage: a\nArchitecture: any\n"
NO_TESTS = "holds no tests to import: expected a folder with `control` or `.fmf/version`"
FOLDER = "expected a folder of the product with tests, such as `debian/tests`"
PREFIX = "expected a prefix of up to 30 lower-case letters, digits, `.`, `_` and `-`"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def debian(project: Project, tests: str, folder: str = ".", control: str = CONTROL) -> None:
    (project.root / folder / "debian/tests").mkdir(parents=True)
    (project.root / folder / "debian/control").write_text(control)
    (project.root / folder / "debian/tests/control").write_text(tests)


def test_suites_are_read_beside_those_that_are_written(project: Project) -> None:
    debian(project, "Tests: smoke\n")
    matrix = project.load("""
        distros: [debian-12, debian-13, fedora-43]
        defaults: {timeout: 1m, user: tester}
        suites:
          import: debian/tests
          own: {run: "true"}
        rules: [{suite: smoke, expect: fail, reason: old}]
        """)
    own, smoke = sorted(matrix.suites, key=lambda suite: suite.name)
    assert (own.name, smoke.name) == ("own", "smoke")
    assert smoke.distros == ("debian-12", "debian-13")
    assert (smoke.timeout, smoke.user) == (60.0, "root")
    assert own.distros == ("*",)
    assert matrix.warnings == ()


def test_several_folders_are_read_and_what_is_left_out_is_a_warning(project: Project) -> None:
    debian(project, "Tests: one two\nRestrictions: made-up\n\nTests: three\n", "a")
    debian(project, "Tests: four\nSomething: else\n\nTests: five\n", "b")
    matrix = project.load(
        "distros: [debian-12]\nsuites: {import: [a/debian/tests, b/debian/tests]}"
    )
    assert [suite.name for suite in matrix.suites] == ["three", "five"]
    a, b = (str(project.root / one / "debian/tests/control") for one in "ab")
    assert matrix.warnings == (
        f"{a}:2: the test one is left out: the restriction `made-up` is not known",
        f"{a}:2: the test two is left out: the restriction `made-up` is not known",
        f"{b}:2: the test four is left out: the field `Something` is not known",
    )


def test_a_fault_of_the_other_file_is_at_its_line(project: Project) -> None:
    debian(project, "Tests: a\nDepends: a, b (>> x y)\n")
    fault = project.fault("distros: [debian-12]\nsuites: {import: debian/tests}")
    assert fault.file.endswith("debian/tests/control")
    assert (fault.line, fault.message) == (2, "`b (>> x y)` is no dependency")


def test_names_do_not_meet(project: Project) -> None:
    debian(project, "Tests:\n other,\n own\n")
    fault = project.fault(
        "distros: [debian-12]\nsuites:\n  import: debian/tests\n  own: {run: 'true'}\n"
    )
    assert fault.file.endswith("debian/tests/control")
    assert (fault.line, fault.message) == (1, "the suite `own` is there already")
    assert fault.hint.endswith(
        "matrix/default.yaml:4:8; `import: {PREFIX: FOLDER}` puts a prefix before names"
    )


def test_a_prefix_stands_before_the_names_of_a_folder(project: Project) -> None:
    debian(project, f"Tests: smoke {'x' * 60}1 {'x' * 60}2\n", "a")
    debian(project, "Tests: smoke\n", "b")
    matrix = project.load("""
        distros: [debian-12]
        suites:
          import: {a: a/debian/tests, b.2: b/debian/tests}
          smoke: {run: "true"}
        rules: [{suite: "a-*", expect: fail, reason: old}]
        """)
    assert [suite.name for suite in matrix.suites] == [
        "smoke",
        *("a-smoke", f"a-{'x' * 53}", f"a-{'x' * 53}-2", "b.2-smoke"),
    ]


def test_names_with_prefixes_do_not_meet(project: Project) -> None:
    debian(project, "Tests: b-c\n", "x")
    debian(project, "\nTests: c\n", "y")
    fault = project.fault(
        "distros: [debian-12]\nsuites:\n  import: {a: x/debian/tests, a-b: y/debian/tests}\n"
    )
    assert fault.file.endswith("y/debian/tests/control")
    assert (fault.line, fault.message) == (2, "the suite `a-b-c` is there already")
    assert "x/debian/tests/control:1:1; " in fault.hint


@pytest.mark.parametrize("rules", ["", "rules: [{distro: alpine-3.20, skip: ours}]"])
def test_what_is_imported_brings_rules_that_come_last(project: Project, rules: str) -> None:
    (project.root / ".fmf").mkdir()
    (project.root / ".fmf/version").write_text("1\n")
    (project.root / "main.fmf").write_text(
        "test: 'true'\nadjust:\n"
        "- {when: distro == alpine or distro == debian-1, enabled: false, because: so}\n"
        "- {when: 'distro == ubuntu-24, rhel', require+: [x]}\n/a: {}\n"
    )
    distros = "distros: [alpine-3.20, debian-12, ubuntu-24.04]"
    matrix = project.load(f"{distros}\nsuites: {{import: {{t: .}}}}\n{rules}")
    found = [(r.distro, r.suite, r.skip, r.packages) for r in matrix.rules]
    theirs = [("alpine-3.20", "t-a", "so", ()), ("ubuntu-24.04", "t-a", None, ("x",))]
    assert found == [("alpine-3.20", "*", "ours", ())] * bool(rules) + theirs


@pytest.mark.parametrize(
    ("tests", "rules", "said"),
    [
        (2000, 200, "the tmt tree is too large: its nodes have more than 200,000 items of lists"),
        (210, 100, "more than 20,000 rules come with these suites: import fewer at once"),
    ],
)
def test_rules_that_all_tests_inherit_are_bounded(
    project: Project, tests: int, rules: int, said: str
) -> None:
    (project.root / ".fmf").mkdir()
    (project.root / ".fmf/version").write_text("1\n")
    rule = "- {when: distro == alpine, enabled: false}\n"
    leaves = "".join(f"/{number}: {{}}\n" for number in range(tests))
    (project.root / "main.fmf").write_text(f"test: 'true'\nadjust:\n{rule * rules}{leaves}")
    assert project.fault("distros: [alpine-3.20]\nsuites: {import: .}\n").message == said


@pytest.mark.parametrize(
    ("value", "column", "said"),
    [
        ("tests", 18, f"`tests` {NO_TESTS}"),
        ("{a: b/c}", 22, f"`b/c` {NO_TESTS}"),
        ("[/etc]", 19, f"{FOLDER}, got `/etc`"),
        ("{a: /etc}", 22, f"{FOLDER}, got `/etc`"),
        ("{a: [x]}", 22, f"{FOLDER}, got a list"),
        ("{A b: x}", 19, f"{PREFIX}, got `A b`"),
        (f"{{{'a' * 31}: x}}", 19, f"{PREFIX}, got `{'a' * 31}`"),
        ("[]", 18, "expected at least one entry"),
        ("{}", 18, "expected at least one entry"),
    ],
)
def test_what_cannot_be_imported_is_told(
    project: Project, value: str, column: int, said: str
) -> None:
    fault = project.fault(f"distros: [debian-12]\nsuites: {{import: {value}, a: {{run: a}}}}")
    assert (fault.message, fault.line, fault.column) == (said, 2, column)


def test_no_link_is_followed(project: Project) -> None:
    debian(project, "Tests: a\n", "elsewhere")
    (project.root / "debian").symlink_to("elsewhere/debian")
    text = "distros: [debian-12]\nsuites: {import: debian/tests}"
    assert "holds no tests to import" in project.fault(text).message
    (project.root / "debian").unlink()
    debian(project, "Tests: a\n")
    (project.root / "debian/control").unlink()
    (project.root / "debian/control").symlink_to("/etc/passwd")
    assert project.fault(text).message == (
        "cannot be read: a link lies there, and none is followed"
    )


def test_a_product_outside_of_the_project_is_not_read(project: Project) -> None:
    text = "product: ..\ndistros: [debian-12]\nsuites: {import: debian/tests}"
    assert project.fault(text).message == (
        "the product's folder, in which `debian/tests` lies, cannot be opened: it leads outside"
    )


def test_a_matrix_without_a_distro_for_them_says_so(project: Project) -> None:
    debian(project, "Tests: smoke\n")
    text = "distros: [fedora-43]\nsuites: {import: debian/tests, own: {run: 'true'}}"
    (warning,) = project.load(text).warnings
    assert warning.endswith(
        "default.yaml:2: the suites of debian/tests are for distros of the family debian, and "
        "this matrix has none"
    )
    alone = project.fault("distros: [fedora-43]\nsuites: {import: debian/tests}")
    assert alone.message.startswith("there is no suite: ")
