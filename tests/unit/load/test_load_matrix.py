"""Matrix files: what is read, and what is said of slips."""

import textwrap
from datetime import date
from pathlib import Path

import pytest
from loading import SMALL, TODAY, Project, place

from distromatrix.errors import InputError
from distromatrix.load import find_matrix
from distromatrix.model import Need, Prepare


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


XFAIL = "rules: [{expect: fail, reason: because, "  # a rule begins

FULL = """\
product: {path: ., git: true}
distros: [debian-1*, alpine-3.20, debian-12]
env: {LC_ALL: C.UTF-8}
pass_env: [TOKEN]
ca_bundle: host
index: host
defaults: {timeout: 1h30m, cpus: 0.5, memory: 512M, disk: 1G, network: false, env: {A: d, B: d}}
suites:
  unit:
    packages: [python, g++]
    prepare: {files: [requirements*.txt], run: pip install -r requirements.txt}
    setup: pip install .
    run: pytest
    timeout: 90s
    env: {B: s}
    reads: [src/**]
    needs: [mount, own-kernel: ">=6.1"]
    restore: r
    debug: d
    cases: true
    privileges: [mount, /dev/fuse]
    user: 1000
    pids: 200
  plain: {run: x, prepare: y, report: tap}
variants:
  py311: {suites: [un*], env: {PY: python3.11}, packages: [python3.11]}
rules:
  - {distro: alpine-*, suite: unit, skip: why}
  - {distro: debian-11, expect: fail, reason: old, until: 2027-01-01}
  - {variant: py*, env: {A: b}, packages: [epel-release], setup: s}
  - {suite: unit, expect: fail, cases: ["*::b[[]1]", c *], reason: x, expect_status: [1, 139]}
  - {suite: unit, expect: fail, reason: hangs, phase: [run, timeout], expect_status: 2}
"""


def test_every_key_is_read(project: Project) -> None:
    matrix = project.load(FULL)
    assert [d.name for d in matrix.distros] == [
        "debian-11",
        "debian-12",
        "debian-13",
        "alpine-3.20",
    ]
    assert (matrix.product.path, matrix.product.git) == (project.root, True)
    assert (matrix.ca_bundle, matrix.index, matrix.pass_env) == ("host", "host", ("TOKEN",))
    unit, plain = matrix.suites
    assert unit.prepare == Prepare(
        run="pip install -r requirements.txt", files=("requirements*.txt",)
    )
    assert unit.needs == (Need(name="mount"), Need(name="own-kernel", version=">=6.1"))
    assert (unit.timeout, unit.cpus, unit.memory, unit.network) == (90, 0.5, 512 << 20, False)
    assert (unit.disk, unit.pids, plain.disk, plain.pids) == (1 << 30, 200, 1 << 30, 1024)
    assert (unit.user, unit.cases) == ("1000:1000", True)
    assert (unit.report, plain.report) == ("junit", "tap")
    assert unit.privileges == ("mount", "/dev/fuse")
    assert (unit.restore, unit.debug, unit.setup, unit.reads) == (
        "r",
        "d",
        "pip install .",
        ("src/**",),
    )
    assert plain.prepare == Prepare(run="y")
    assert plain.timeout == 5400
    (variant,) = matrix.variants
    assert (variant.suites, variant.packages) == (("un*",), ("python3.11",))
    skip, expect, add, named, hangs = matrix.rules
    assert (skip.distro, skip.suite, skip.skip) == ("alpine-*", "unit", "why")
    assert (expect.expect, expect.reason, expect.until) == ("fail", "old", date(2027, 1, 1))
    assert (expect.cases, expect.phase, expect.expect_status) == ((), ("run",), ())
    assert (named.cases, named.expect_status) == (("*::b[[]1]", "c *"), (1, 139))
    assert (hangs.phase, hangs.expect_status) == (("run", "timeout"), (2,))
    assert (add.variant, add.env, add.setup) == ("py*", {"A": "b"}, "s")
    assert skip.where.endswith("matrix/default.yaml:28:5")


def test_defaults_merge_env_and_give_way_in_all_else(project: Project) -> None:
    unit, plain = project.load(FULL).suites
    assert unit.env == {"A": "d", "B": "s"}
    assert plain.env == {"A": "d", "B": "d"}


def test_runners_are_a_label_or_several(project: Project) -> None:
    given = "runners: {qemu: [self-hosted, kvm], aarch64: arm 8.2, podman/x86_64: big}\n"
    assert project.load(SMALL + given).runners == {
        "qemu": ("self-hosted", "kvm"),
        "aarch64": ("arm 8.2",),
        "podman/x86_64": ("big",),
    }
    assert project.load(SMALL).runners == {}


@pytest.mark.parametrize(
    ("runners", "message", "hint"),
    [
        ("{dokcer: a}", "expected an engine, an architecture or ENGINE/", "did you mean `docker`?"),
        ("{qemu/x86: a}", "got `qemu/x86`", "did you mean `x86_64`?"),
        ("{x86_64/qemu: a}", "got `x86_64/qemu`", ""),
        ("{docker: []}", "expected at least one entry", ""),
        ("{docker: {a: b}}", "expected a list, got a mapping", ""),
        ("{docker: [a, '']}", "expected a runner's label such as `ubuntu-latest`, got nothing", ""),
        ("{docker: '${{ github.token }}'}", "expected a runner's label such as", ""),
        ('{docker: "a\\nb"}', "expected a runner's label such as", ""),
        ("[docker]", "expected a mapping of keys, got a list", ""),
    ],
)
def test_runners_that_are_none_are_told_at_their_place(
    project: Project, runners: str, message: str, hint: str
) -> None:
    (fault,) = project.faults(f"{SMALL}runners: {runners}\n")
    assert fault.line == SMALL.count("\n") + 1
    assert message in fault.message
    assert hint in fault.hint


def test_the_root_is_the_parent_of_the_matrix_folder(project: Project, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    matrix = project.load(SMALL + "product: code\n")
    assert matrix.root == tmp_path
    assert matrix.product.path == tmp_path / "code"


def test_all_faults_of_all_files_come_at_once_and_in_order(project: Project) -> None:
    project.distro("mine", "title: Mine\nlke: debian-12\n")
    faults = project.faults(
        """\
        distros: [debian-21]
        suties: {}
        suites: {unit: {run: x, timeout: 5}}
        """
    )
    messages = [fault.message for fault in faults]
    assert messages[0] == "no distro `debian-21`"
    assert messages[1] == "unknown key `suties`"
    assert "duration" in messages[2]
    assert any(f.file.endswith("mine.yaml") and "`lke`" in f.message for f in faults)


@pytest.mark.parametrize(
    ("line", "at", "message", "hint"),
    [
        ("envv: {}", (4, 1), "unknown key `envv`", "did you mean `env`?"),
        ("env: [a]", (4, 6), "expected a mapping", ""),
        ("env:", (4, 5), "expected a mapping of keys, got nothing", ""),
        ("env: {A: [x]}", (4, 10), "expected text, got a list", ""),
        ("env: {A-B: x}", (4, 7), "`A-B` is not a valid name for an environment variable", ""),
        ("env: {DISTROMATRIX_X: x}", (4, 7), "set by us", ""),
        ("pass_env: A", (4, 11), "expected a list, got `A`", "write [A]"),
        ("index: hosts", (4, 8), "expected `host` or `none`", "did you mean `host`?"),
        ("ca_bundle: ca.pem", (4, 12), "no file", ""),
        ("product: gone", (4, 10), "does not exist", ""),
        ("product: {path: gone}", (4, 17), "does not exist", ""),
        ("product: matrix/default.yaml", (4, 10), "is not a folder", ""),
        (f"product: {'x' * 3000}", (4, 10), "is not a usable path: File name too long", ""),
        (f"ca_bundle: {'x' * 3000}", (4, 12), "is not a usable path: File name too long", ""),
        ("product: ~nobody-here/x", (4, 10), "is not a usable path", ""),
        (f"rules: [{{distro: '{'*?' * 200}', skip: x}}]", (4, 18), "expected a distro", ""),
        ("product: [x]", (4, 10), "expected a folder, or a mapping with", ""),
        ("product: {git: true}", (4, 1), "`path` is missing", ""),
        ("product: {path: ., gti: x}", (4, 20), "unknown key `gti`", "did you mean `git`?"),
        ("product: {path: ., git: yes}", (4, 25), "expected `true` or `false`", ""),
        ("defaults: {run: x}", (4, 12), "unknown key `run`", ""),
        ("variants: {a/b: {}}", (4, 12), "expected a name", ""),
        ("variants: {v: {suites: [unt]}}", (4, 25), "no suite `unt`", "did you mean `unit`?"),
        ("variants: {v: {suites: [x*]}}", (4, 25), "`x*` matches no suite", ""),
        ("rules: [{distro: debain-12, skip: x}]", (4, 18), "no distro", "debian-12"),
        ("rules: [{distro: 'q-*', skip: x}]", (4, 18), "`q-*` matches no distro", ""),
        ("rules: [{variant: v, skip: x}]", (4, 19), "no variant `v`", "there is no variant"),
        ("rules: [{skip: x, expect: fail}]", (4, 27), "`skip` and `expect`", ""),
        ("rules: [{expect: fail}]", (4, 18), "wants a `reason`", ""),
        ("rules: [{expect: fail, reason: ''}]", (4, 32), "the reason is left open", "say why"),
        ("rules: [{expect: fail, reason: [x]}]", (4, 32), "expected text, got a list", ""),
        ("rules: [{skip: x, cases: [a]}]", (4, 26), "`cases` goes with `expect: fail`", ""),
        ("rules: [{skip: x, phase: run}]", (4, 26), "`phase` goes with `expect: fail`", ""),
        ("rules: [{skip: x, expect_status: 1}]", (4, 34), "`expect_status` goes with", ""),
        (f"{XFAIL}cases: []}}]", (4, 48), "expected at least one entry", ""),
        (f"{XFAIL}cases: ['']}}]", (4, 49), "expected the name of a case or a glob", ""),
        (f"{XFAIL}cases: '*'}}]", (4, 48), "expected a list, got `*`", 'write ["*"]'),
        (f"{XFAIL}cases: [a], phase: timeout}}]", (4, 60), "goes without `cases`", "of its own"),
        (f"{XFAIL}phase: timout}}]", (4, 48), "nothing fails in `timout`", "mean `timeout`?"),
        (f"{XFAIL}phase: [image]}}]", (4, 49), "nothing fails in `image`", "expected `setup`"),
        (f"{XFAIL}expect_status: 0}}]", (4, 56), "expected an exit status from 1 to 255", ""),
        (f"{XFAIL}expect_status: [1, 256]}}]", (4, 60), "from 1 to 255, got `256`", ""),
        (f"{XFAIL}phase: memory, expect_status: 9}}]", (4, 71), "which `phase` leaves out", ""),
        ("rules: [{skip: x, until: 2027-01-01}]", (4, 26), "`until` goes with", ""),
        ("rules: [{suite: unit}]", (4, 9), "does nothing", ""),
        ("rules: [{expect: pass, reason: x}]", (4, 18), "expected `fail`", ""),
        ("rules: {skip: x}", (4, 8), "expected a list, got a mapping", ""),
    ],
)
def test_a_slip_is_told_where_it_is(
    project: Project, line: str, at: tuple[int, int], message: str, hint: str
) -> None:
    fault = project.fault(SMALL + line + "\n")
    assert place(fault) == at
    assert message in fault.message
    assert hint in fault.hint


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("timeout: 0m", "more than 0", ""),
        ("timeout: 0", "expected a duration", ""),
        ("timeout: 30", "expected a duration", "`30m`"),
        ("timeout: -5m", "expected a duration", ""),
        ("timeout: 99999999999999d", "at most 365d", ""),
        ("timeout: [5m]", "got a list", ""),
        ("memory: 2", "expected a size", ""),
        ("memory: 1K", "at least 6M", ""),
        ("disk: 10", "expected a size", ""),
        ("pids: 9", "expected a number of processes from 10 to 4194304", ""),
        ("pids: 1e9", "expected a number of processes", ""),
        ("pids: 4194305", "expected a number of processes", ""),
        ("cpus: 0", "expected a number of CPUs", ""),
        ("cpus: nan", "expected a number of CPUs", ""),
        ("user: Bob!", "a user's name", ""),
        ("network: on", "expected `true` or `false`", ""),
        ("packages: [a;b]", "expected a package's name, what it holds", ""),
        ("packages: [--no-gpg]", "expected a package's name, what it holds", ""),
        ("needs: [kernel-module]", "no need `kernel-module`", "did you mean `kernel-modules`?"),
        ("needs: [{mount: '1'}]", "takes no version", ""),
        ("needs: [gpu, own-kernel: '>=6']", "no engine can meet `gpu`, `own-kernel` at once", ""),
        ("needs: [{own-kernel: new}]", "expected a version", ""),
        ("privileges: [mont]", "no privilege `mont`", "did you mean `mount`?"),
        ("privileges: [net_raw]", "no privilege `net_raw`", "did you mean `net-raw`?"),
        ("privileges: [/dev/../etc]", "no privilege", ""),
        ("prepare: {runn: x}", "unknown key `runn`", "did you mean `run`?"),
        ("prepare: {run: x, files: [../y]}", "leads out of", ""),
        ("prepare: {run: x, files: [/y]}", "leads out of", ""),
        ("prepare: [x]", "expected a shell command, or a mapping", ""),
        ("setup: ''", "expected a shell command, or a mapping with `in` and `run`", ""),
        ("setup: {in: contaner, run: x}", "expected `container`", "did you mean `container`?"),
        ("setup: {run: x}", "`in` is missing", ""),
        ("setup: {inn: container, run: x}", "unknown key `inn`", "did you mean `in`?"),
        ("user: ''", "got nothing", ""),
        ("retry_failed: 11", "expected a number from 0 to 10", "expect it to fail, or mend it"),
        ("report: tapp", "expected `junit` or `tap`, got `tapp`", "did you mean `tap`"),
        ("retry_failed: often", "expected a number from 0 to 10", ""),
    ],
)
def test_a_slip_in_a_suite_is_told(project: Project, line: str, message: str, hint: str) -> None:
    faults = project.faults(f"distros: [debian-12]\nsuites:\n  unit:\n    run: x\n    {line}\n")
    assert faults[0].line == 5
    text = "\n".join(map(str, faults))
    assert message in text
    assert hint in text


def test_a_setup_in_a_container_gives_way_to_a_suites_own(project: Project) -> None:
    given = "distros: [debian-12]\ndefaults: {setup: {in: container, run: make}}\n"
    there, here = project.load(
        f"{given}suites:\n  a: {{run: x}}\n  b: {{run: x, setup: y}}\n"
    ).suites
    assert (there.setup, there.setup_in_container) == ("make", True)
    assert (here.setup, here.setup_in_container) == ("y", False)


def test_a_suite_without_run_is_told_at_its_name(project: Project) -> None:
    fault = project.fault("distros: [debian-12]\nsuites:\n  unit: {setup: x}\n")
    assert fault.message == "`run` is missing"
    assert place(fault) == (3, 3)


@pytest.mark.parametrize("name", ["a/b", "..", "a b", "a;b", "$x", "A", "a..b", "-a", "é"])
def test_names_that_could_be_more_than_names_are_refused(project: Project, name: str) -> None:
    text = f"distros: [debian-12]\nsuites:\n  '{name}': {{run: x}}\n"
    fault = project.fault(text)
    assert "expected a name" in fault.message
    assert place(fault) == (3, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("distros: []\nsuites: {u: {run: x}}\n", "at least one"),
        ("suites: {u: {run: x}}\n", "`distros` is missing"),
        ("distros: [debian-12]\nsuites: {}\n", "at least one"),
        ("distros: [debian-12]\n", "`suites` is missing"),
    ],
)
def test_an_empty_matrix_is_a_fault(project: Project, text: str, message: str) -> None:
    assert message in project.fault(text).message


@pytest.mark.parametrize("glob", ["gentoo-*", "debian-12/unit", "../debian-12", "a b", "$(x)"])
def test_a_distro_that_is_none_is_a_fault(project: Project, glob: str) -> None:
    fault = project.fault(f"distros:\n  - '{glob}'\nsuites: {{u: {{run: x}}}}\n")
    assert place(fault) == (2, 5)


def test_faults_show_control_characters_and_stay_short(project: Project) -> None:
    fault = project.fault(SMALL + 'index: "a\\n\\e[31m' + "x" * 5000 + '"\n')
    assert "\\n\\x1b[31m" in fault.message
    assert len(str(fault)) < 300


def test_a_file_full_of_nonsense_is_answered_in_full(project: Project) -> None:
    lines = "".join(f"nonsense{i}: x\n" for i in range(5000))
    assert len(project.faults(SMALL + lines)) == 5000


def test_an_expired_distro_is_one_warning(project: Project) -> None:
    matrix = project.load("distros: [debian-11, debian-12]\nsuites: {u: {run: x}}\n")
    (warning,) = matrix.warnings
    assert "debian-11" in warning
    assert "2026-08-31" in warning


@pytest.mark.parametrize(("today", "lapsed"), [(date(2026, 12, 1), 0), (date(2026, 12, 2), 1)])
def test_a_lapsed_rule_is_a_warning(project: Project, today: date, lapsed: int) -> None:
    text = SMALL + "rules: [{expect: fail, reason: old, until: 2026-12-01}]\n"
    matrix = project.load(text, today=today)
    assert sum("default.yaml:4:9: the rule lapsed" in w for w in matrix.warnings) == lapsed


def test_the_default_matrix_is_found(project: Project) -> None:
    project.write(SMALL)
    assert find_matrix(project.root, None) == project.file


def test_a_missing_matrix_names_those_that_are_there(project: Project) -> None:
    (project.root / "matrix" / "nightly.yaml").write_text(SMALL)
    with pytest.raises(InputError, match=r"-m FILE: matrix/nightly.yaml"):
        find_matrix(project.root, None)
    with pytest.raises(InputError, match=r"matrix/nightly.yaml"):
        find_matrix(project.root, Path("matrix/nightli.yaml"))


def test_no_matrix_at_all_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"write matrix/default.yaml"):
        find_matrix(tmp_path, None)


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        find_matrix(tmp_path / "gone", None)


def test_today_is_not_yet_past_the_last_day(project: Project) -> None:
    text = "distros: [debian-11]\nsuites: {u: {run: x}}\n"
    assert project.load(text, today=date(2026, 8, 31)).warnings == ()
    assert project.load(text, today=TODAY).warnings != ()


def test_the_line_ends_of_the_matrix_are_no_part_of_its_scripts(project: Project) -> None:
    text = """\
    distros: [debian-12]
    suites:
      lines:
        run: |
          set -- a b
          echo two
      folded:
        run: >-
          test 1 = 1 &&
          echo ok
      quoted: {run: "echo a
        b"}
    """
    lines = textwrap.dedent(text).encode().replace(b"\n", b"\r\n")
    project.file.write_bytes(lines)
    scripts = {suite.name: suite.run for suite in project.load().suites}
    assert scripts == {
        "lines": "set -- a b\necho two\n",
        "folded": "test 1 = 1 && echo ok",
        "quoted": "echo a b",
    }


def test_a_product_may_mean_something_else_by_needs(project: Project) -> None:
    matrix = project.load(SMALL + 'env: {DISTROMATRIX_CASE_NEEDS: "off"}\n')
    assert matrix.env == {"DISTROMATRIX_CASE_NEEDS": "off"}
