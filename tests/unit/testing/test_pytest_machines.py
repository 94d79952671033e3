"""Machines for tests of one's own: fixtures and marks, on the fake engine."""

from __future__ import annotations

import pytest
from pytest_world import MACHINES, World

pytest_plugins = ["pytester"]


@pytest.fixture
def made(world: World) -> World:
    world.for_machines()
    return world


def write(world: World, text: str, name: str = "test_a") -> None:
    world.test("import pytest\n" + text, name)


def test_a_test_runs_on_every_distro_of_the_matrix(made: World) -> None:
    write(made, "def test_it(distro): print(distro.name, distro.family, distro.eol.year)")
    done = made.pytester.runpytest("-v", "-rP", "-p", "no:randomly")
    done.assert_outcomes(passed=3)
    done.stdout.fnmatch_lines_random(
        ["tests/test_a.py::test_it[[]one-1.0[]] PASSED*", "one-1.0 other 2999", "two alpine 2999"]
    )
    assert not (made.fake / "machines").exists()  # asking for facts makes no machine


def test_the_parameters_are_sorted_and_stay_beside_those_of_the_test(made: World) -> None:
    write(made, "@pytest.mark.parametrize('n', [1, 2])\ndef test_it(distro, n): pass")
    assert sorted(made.collected()) == [
        f"tests/test_a.py::test_it[{distro}-{n}]"
        for distro in ("one-1.0", "three", "two")
        for n in (1, 2)
    ]


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("'one-*'", ["one-1.0"]),
        ("'t*'", ["three", "two"]),
        ("'apart'", ["apart"]),
        ("family='debian'", ["three"]),
        ("family=('debian', 'alpine')", ["three", "two"]),
        ("'one-1.0', libc='musl'", ["one-1.0", "two"]),
        ("family='debian', libc='musl'", ["three", "two"]),
        ("package_manager='none'", ["one-1.0", "three", "two"]),
        ("suite='good'", ["one-1.0/good", "three/good", "two/good"]),
        ("'o*', suite='good'", ["one-1.0/good"]),
    ],
)
def test_a_mark_chooses_all_that_one_of_its_words_stands_for(
    made: World, said: str, names: list[str]
) -> None:
    write(made, f"@pytest.mark.distros({said})\ndef test_it(distro): pass")
    assert made.collected() == [f"tests/test_a.py::test_it[{name}]" for name in names]


def test_the_closest_mark_counts(made: World) -> None:
    write(
        made,
        "pytestmark = pytest.mark.distros('one-1.0')\n"
        "def test_module(distro): pass\n"
        "@pytest.mark.distros('two')\n"
        "class TestIt:\n"
        "    def test_class(self, distro): pass\n"
        "    @pytest.mark.distros('three')\n"
        "    def test_function(self, distro): pass\n",
    )
    assert sorted(made.collected()) == [
        "tests/test_a.py::TestIt::test_class[two]",
        "tests/test_a.py::TestIt::test_function[three]",
        "tests/test_a.py::test_module[one-1.0]",
    ]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("'twoo'", "no distro `twoo` (did you mean `two`?)"),
        ("'treee-*'", "no distro of the matrix matches `treee-*` (did you mean `three`?)"),
        ("'apa*'", "(the catalogue has `apart`: use their names, or add them to the matrix)"),
        ("'o?e-1.0'", "no distro `o?e-1.0`"),
        ("famly='debian'", "@pytest.mark.distros has no `famly` (did you mean `family`?)"),
        ("family='debain'", "family=`debain`: unknown value (did you mean `debian`?)"),
        ("family='suse'", "no distro of this session has family=suse"),
        ("family=3", "family= takes a text or several, not 3"),
        ("family=[]", "family= takes a text or several, not []"),
        ("3", "takes names and globs, not 3"),
        ("suite='god'", "no suite `god` (did you mean `good`?)"),
        ("suite=['good']", "suite= takes one suite, not ['good']"),
        ("'two', suite='good'", "two/good is skipped: no musl yet"),
        ("'apart', suite='good'", "apart/good: the matrix has suites only for its own distros"),
    ],
)
def test_what_stands_for_nothing_is_an_error_that_names_the_test(
    made: World, said: str, message: str
) -> None:
    write(made, f"def test_other(): pass\n@pytest.mark.distros({said})\ndef test_it(distro): pass")
    write(made, "def test_fine(): pass", "test_b")
    done = made.pytester.runpytest("-q", "--continue-on-collection-errors")
    done.assert_outcomes(passed=1, errors=1)
    [line] = [line for line in done.outlines if line.startswith("tests/test_a.py::test_it: ")]
    assert message in line
    assert "Traceback" not in done.stdout.str()


def test_facts_of_the_distro_are_marks_and_keywords(made: World) -> None:
    write(made, "def test_it(distro): pass\ndef test_none(): pass")
    assert made.collected("-m", "musl") == ["tests/test_a.py::test_it[two]"]
    assert made.collected("-m", "debian") == ["tests/test_a.py::test_it[three]"]
    assert made.collected("-k", "one and it") == ["tests/test_a.py::test_it[one-1.0]"]


def test_commands_run_in_the_machine(made: World) -> None:
    write(
        made,
        "@pytest.mark.distros('two')\n"
        "def test_it(machine):\n"
        "    done = machine.run('echo $V; echo bad >&2; exit 7', env={'V': 'ü'})\n"
        "    assert (done.status, done.stdout, done.stderr) == (7, 'ü\\n', 'bad\\n')\n"
        "    assert not done.ok and not done.timed_out and done.seconds > 0\n"
        "    assert machine.run('printf \"\\\\377\"').stdout_bytes == b'\\xff'\n"
        "    assert machine.run('false; echo on').stdout == 'on\\n'\n"
        "    slow = machine.run('echo before; sleep 60', timeout=1)\n"
        "    assert slow.timed_out and slow.status is None and slow.stdout == 'before\\n'\n"
        "    assert machine.product == ''\n"
        "    assert machine.name.startswith('distromatrix-')\n",
    )
    made.pytester.runpytest("-q").assert_outcomes(passed=1)


def test_files_go_there_and_come_back(made: World) -> None:
    write(
        made,
        "import os\n"
        "@pytest.mark.distros('two')\n"
        "def test_it(machine, tmp_path):\n"
        "    root = machine.run('pwd').stdout.strip() + '/'\n"  # the fake machine's own folder
        "    machine.put('text ü', root + 'a/b/file')\n"
        "    assert machine.get(root + 'a/b/file') == 'text ü'.encode()\n"
        "    machine.put(b'\\0\\xff', root + 'bytes', mode=0o700)\n"
        "    assert machine.get(root + 'bytes') == b'\\0\\xff'\n"
        "    assert machine.run('test -x bytes').ok\n"
        "    (tmp_path / 'sub').mkdir()\n"
        "    (tmp_path / 'sub/one').write_text('1')\n"
        "    machine.put(tmp_path / 'sub', root + 'folder')\n"
        "    assert machine.get(root + 'folder/one') == b'1'\n"
        "    with pytest.raises(FileNotFoundError): machine.get(root + 'none')\n"
        "    with pytest.raises(IsADirectoryError): machine.get(root + 'folder')\n"
        "    with pytest.raises(ValueError): machine.put('', 'relative')\n",
    )
    made.pytester.runpytest("-q").assert_outcomes(passed=1)


def test_a_command_that_fails_shows_what_it_said_and_nothing_of_ours(made: World) -> None:
    write(
        made,
        "@pytest.mark.distros('two')\n"
        "def test_it(machine):\n"
        "    machine.run('''echo out\necho $((6 * 7)) >&2\nexit 3''', check=True)\n",
    )
    done = made.pytester.runpytest("-q")
    done.assert_outcomes(failed=1)
    shown = "\n".join(line.removeprefix("E").strip() for line in done.outlines)
    assert "two: exit status 3\n$ echo out\n$ echo $((6 * 7)) >&2\n$ exit 3\n" in shown
    assert "stdout:\nout\nstderr:\n42\n" in shown
    assert "testing/machines/machine.py" not in done.stdout.str()


def test_all_share_a_machine_but_those_that_want_a_fresh_one(made: World) -> None:
    write(
        made,
        "@pytest.mark.distros('two', 'three')\n"
        "class TestIt:\n"
        "    def test_1(self, machine, distro):\n"
        "        machine.run('echo 1 >left', check=True)\n"
        "    def test_2(self, fresh_machine, machine):\n"
        "        assert not fresh_machine.run('test -e left').ok\n"
        "        fresh_machine.run('echo 2 >left', check=True)\n"
        "        assert machine.run('cat left').stdout == '1\\n'\n"
        "    def test_3(self, machine, fresh_machine):\n"
        "        assert not fresh_machine.run('test -e left').ok\n"
        "        assert machine.run('cat left').stdout == '1\\n'\n",
    )
    made.pytester.runpytest("-q").assert_outcomes(passed=6)
    assert not list((made.fake / "machines").iterdir())


def test_a_suite_prepares_the_machine(made: World) -> None:
    write(
        made,
        "@pytest.mark.distros('*', suite='good')\n"
        "def test_it(machine):\n"
        "    assert machine.product and machine.run('cat here; echo $FROM_SUITE').stdout"
        " == 'made\\nyes\\n'\n",
    )
    done = made.pytester.runpytest("-q", "-rs")
    done.assert_outcomes(passed=2, skipped=1)
    done.stdout.fnmatch_lines(["SKIPPED * no musl yet"])


def test_a_setup_that_fails_is_the_products_failure(made: World) -> None:
    write(made, "@pytest.mark.distros('two', suite='unfit')\ndef test_it(machine): pass")
    done = made.pytester.runpytest("-q")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["the setup of two/unfit failed: exit status 4", "  oh no"])
    done.stdout.no_fnmatch_line("*Traceback*")


def test_a_machine_that_dies_makes_errors_of_its_tests_and_of_no_others(made: World) -> None:
    write(
        made,
        "import os, signal\n"
        "@pytest.mark.distros('two', 'three')\n"
        "class TestIt:\n"
        "    def test_1(self, machine): machine.run(':', check=True)\n"
        "    def test_2(self, machine, distro):\n"
        "        if distro.name == 'two':\n"
        "            machine._machine().kill()\n"
        "            machine.run(':')\n"
        "            raise AssertionError('unreachable')\n"
        "    def test_3(self, machine): machine.run(':', check=True)\n",
    )
    done = made.pytester.runpytest("-q", "-v")
    done.assert_outcomes(passed=4, errors=2)
    assert done.ret == 1
    lines = [line for line in done.outlines if line.startswith("ERROR tests/")]
    assert [line.split(" - ")[0].split("::")[-1] for line in lines] == [
        "test_2[two]",
        "test_3[two]",
    ]
    assert all("distromatrix-" in line for line in lines)
    assert "Traceback" not in done.stdout.str()


def test_a_matrix_with_faults_is_told_once(made: World) -> None:
    made.matrix(MACHINES.replace("suites:", "suits:"))
    for name in ("test_a", "test_b"):
        write(made, "def test_it(machine): pass", name)
    done = made.pytester.runpytest("-q")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert done.stderr.str().count("unknown key `suits`") == 1
    assert "ERROR at" not in done.stdout.str()


def test_other_fixtures_of_these_names_are_left_alone(made: World) -> None:
    write(
        made,
        "@pytest.fixture\ndef machine(): return 'mine'\n"
        "def test_it(machine): assert machine == 'mine'\n"
        "@pytest.mark.parametrize('distro', ['a', 'b'])\n"
        "def test_that(distro): assert distro in 'ab'\n",
    )
    made.pytester.runpytest("-q").assert_outcomes(passed=3)
    assert not (made.fake / "machines").exists()


def test_fixtures_are_told_with_what_they_give(made: World) -> None:
    done = made.pytester.runpytest("--fixtures", "-q")
    for name in ("distro", "machine", "fresh_machine"):
        done.stdout.fnmatch_lines([f"{name}* -- *testing/machines/fixtures.py*"])


def test_a_session_within_a_worker_of_another_gives_its_places_back(
    made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw7")
    monkeypatch.setenv("DISTROMATRIX_JOBS", "1")
    write(
        made,
        "@pytest.mark.parametrize('n', range(3))\n"
        "@pytest.mark.distros('two')\n"
        "def test_it(fresh_machine, n): pass\n",
    )
    made.pytester.runpytest_subprocess(timeout=60).assert_outcomes(passed=3)
