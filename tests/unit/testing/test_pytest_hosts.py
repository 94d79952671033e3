"""testinfra's hosts `distromatrix://…`, on the fake engine."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from pytest_world import MACHINES, World

from given import FEW_PLUGINS

pytest_plugins = ["pytester"]


@pytest.fixture
def made(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("PYTEST_ADDOPTS", FEW_PLUGINS)  # with testinfra's, that is
    world.for_machines()
    return world


def write(world: World, text: str, name: str = "test_a") -> None:
    world.test("import pytest, testinfra\n" + text, name)


HOST = "def test_it(host): assert host.run('echo hi').stdout == 'hi\\n'\n"


@pytest.mark.parametrize(
    ("spec", "ids"),
    [
        ("distromatrix://*", ["one-1.0", "three", "two"]),
        ("distromatrix://two", ["two"]),
        ("distromatrix://t*", ["three", "two"]),
        ("distromatrix://apart", ["apart"]),
        ("distromatrix://one-*,distromatrix://two", ["one-1.0", "two"]),
        ("distromatrix://*,distromatrix://two", ["one-1.0", "three", "two"]),
        ("distromatrix://three?suite=good", ["three/good"]),
        ("distromatrix://t*?suite=good&sudo=true&sudo_user=me", ["three/good", "two/good"]),
        ("distromatrix://two,distromatrix://two?suite=unfit", ["two", "two/unfit"]),
    ],
)
def test_hosts_are_named_after_their_distros_and_sorted(
    made: World, spec: str, ids: list[str]
) -> None:
    write(made, HOST)
    expected = [f"tests/test_a.py::test_it[{name}]" for name in ids]
    assert made.collected(f"--hosts={spec}") == expected
    write(made, f"testinfra_hosts = {spec.split(',')}\n{HOST}")
    assert made.collected() == expected
    assert not made.fake.exists()  # no engine was asked


def test_a_connection_of_ours_needs_no_scheme(made: World) -> None:
    write(made, HOST)
    assert made.collected("--connection=distromatrix", "--hosts=two") == [
        "tests/test_a.py::test_it[two]"
    ]


WRONG = [
    ("distromatrix://twoo", "no distro `twoo` (did you mean `two`?)"),
    ("distromatrix://thre-*", "no distro of the matrix matches `thre-*` (did you mean `three`?)"),
    ("distromatrix://[ot]*", "no distro of the matrix matches `[ot]*`"),
    ("distromatrix://two?siute=good", "no parameter `siute` (did you mean `suite`?)"),
    (
        "distromatrix://two?ssh_config=x",
        "no parameter `ssh_config` (there are `suite`, `engine`, `sudo`",
    ),
    ("distromatrix://two?suite=unfit&suite=good", "suite is given twice"),
    ("distromatrix://two?sudo=ture", "sudo must be true or false"),
    ("distromatrix://two?suite=god", "no suite `god` (did you mean `good`?)"),
    ("distromatrix://two?suite=good", "two/good is skipped: no musl yet"),
    ("distromatrix://two/good", "expected distromatrix://NAME?PARAMETER=VALUE"),
    ("distromatrix://", "missing distro name or glob, such as debian-*"),
]


@pytest.mark.parametrize(("spec", "message"), WRONG)
def test_a_wrong_option_is_a_usage_error(made: World, spec: str, message: str) -> None:
    write(made, HOST)
    done = made.pytester.runpytest("-q", f"--hosts={spec}")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    [line] = [line for line in done.errlines if line]
    assert line.startswith("ERROR: --hosts: ")
    assert message in line


def test_with_workers_a_wrong_option_is_told_once(made: World) -> None:
    write(made, HOST)
    done = made.pytester.runpytest_subprocess("-q", "-n2", "--hosts=distromatrix://twoo")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert (done.stdout.str() + done.stderr.str()).count("no distro `twoo`") == 1


@pytest.mark.parametrize(("spec", "message"), WRONG)
def test_a_wrong_host_of_a_module_is_one_error_of_the_module(
    made: World, spec: str, message: str
) -> None:
    write(made, f"testinfra_hosts = ['{spec}']\n{HOST}def test_two(host): pass\n")
    write(made, "def test_fine(): pass", "test_b")
    done = made.pytester.runpytest("-q", "--continue-on-collection-errors")
    done.assert_outcomes(passed=1, errors=1)
    [line] = [line for line in done.outlines if line.startswith("tests/test_a.py::test_it: ")]
    assert message in line
    assert "Traceback" not in done.stdout.str()


def test_hosts_answer_as_testinfras_others(made: World) -> None:
    write(
        made,
        "testinfra_hosts = ['distromatrix://two']\n"
        "def test_it(host):\n"
        "    done = host.run('echo %s; echo bad >&2; false; exit 7', \"it's $HOME\")\n"
        "    assert (done.rc, done.stdout, done.stderr) == (7, \"it's $HOME\\n\", 'bad\\n')\n"
        "    assert done.command == b\"echo 'it'\\\"'\\\"'s $HOME'; echo bad >&2; false; exit 7\"\n"
        "    assert host.run('printf \"\\\\377\"').stdout_bytes == b'\\xff'\n"
        "    assert host.run('echo ü').stdout == 'ü\\n'\n"
        "    assert host.run('kill -9 $$').rc == 137\n"
        "    assert host.run('cat').rc == 0\n"
        "    assert host.file('/etc/passwd').contains('root')\n"
        "    assert host.backend.get_hostname() == 'two'\n"
        "    assert repr(host) == '<testinfra.host.Host two>'\n",
    )
    made.pytester.runpytest("-q").assert_outcomes(passed=1)
    assert not list((made.fake / "machines").iterdir())


BYTES = r"""
testinfra_hosts = ["distromatrix://two"]

def test_it(host):
    done = host.run(r"printf 'caf\351\n'; printf '\303\251\377' >&2")
    assert (done.stdout, done.stdout_bytes) == ("caf\udce9\n", b"caf\xe9\n")
    assert done.stderr == "\xe9\udcff"
    name = host.check_output(r"n=$(mktemp -d)/$(printf 'x\351'); echo in >$n; echo $n")
    assert name.endswith("/x\udce9")
    assert host.file(name).content == b"in\n"
"""


@pytest.mark.parametrize("locale", ["C.UTF-8", "POSIX"])
def test_bytes_that_are_no_text_come_out_and_go_back(
    made: World, monkeypatch: pytest.MonkeyPatch, locale: str
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    write(made, BYTES)
    made.pytester.runpytest().assert_outcomes(passed=1)


def test_sudo_is_as_in_testinfras_others(made: World) -> None:
    write(
        made,
        "def test_it():\n"
        "    for spec, command in {'two?sudo=true': 'sudo /bin/sh -c ls',\n"
        "                          'two?sudo=true&sudo_user=me': 'sudo -u me /bin/sh -c ls',\n"
        "                          'two?sudo=false': 'ls', 'two': 'ls'}.items():\n"
        "        backend = testinfra.get_host(f'distromatrix://{spec}').backend\n"
        "        assert backend.get_command('ls') == command\n",
    )
    made.pytester.runpytest("-q").assert_outcomes(passed=1)


def test_a_host_is_to_be_had_by_its_name_alone(made: World) -> None:
    write(
        made,
        "at_import = testinfra.get_host('distromatrix://two')\n"
        "def test_it():\n"
        "    host = testinfra.get_host('distromatrix://three?suite=good')\n"
        "    assert host.run('echo $FROM_SUITE').stdout == 'yes\\n'\n"
        "    assert at_import.run('echo 1').stdout == '1\\n'\n"
        "    with pytest.raises(Exception, match='can match several hosts'):\n"
        "        testinfra.get_host('distromatrix://t*')\n",
    )
    made.pytester.runpytest("-q").assert_outcomes(passed=1)
    assert not list((made.fake / "machines").iterdir())


def test_commands_wait_for_a_test(made: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    write(made, "testinfra.get_host('distromatrix://two').run('true')\n")
    done = made.pytester.runpytest_subprocess("-q")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*no test is running: use machines in tests*"])
    assert not made.fake.exists()


def test_machine_and_distro_follow_the_host(made: World) -> None:
    write(
        made,
        "testinfra_hosts = ['distromatrix://t*', 'distromatrix://three?suite=good']\n"
        "def test_it(host, machine, distro, fresh_machine):\n"
        "    assert host.backend.want.distro == distro.name\n"
        "    host.run('echo 1 >left')\n"
        "    assert (machine.run('cat left', cwd='/').stdout == '1\\n')\n"
        "    assert machine.host.run('cat left').stdout == '1\\n'\n"
        "    assert fresh_machine.host.run('cat left').rc == 1\n"
        "    assert bool(machine.product) == (host.backend.want.suite == 'good')\n",
    )
    names = ["three", "three/good", "two"]
    assert made.collected() == [f"tests/test_a.py::test_it[{name}]" for name in names]
    made.pytester.runpytest("-q").assert_outcomes(passed=3)


def test_a_host_that_nobody_named_follows_the_mark_or_the_machine(made: World) -> None:
    write(
        made,
        "@pytest.mark.distros('t*', libc='musl')\n"
        "def test_mark(host): assert host.backend.NAME == 'distromatrix'\n"
        "def test_machine(host, machine):\n"
        "    assert host.run('pwd').stdout == machine.run('pwd').stdout\n"
        "def test_local(host): assert host.backend.NAME == 'local'\n",
    )
    done = made.pytester.runpytest("-v")
    done.assert_outcomes(passed=6)
    done.stdout.fnmatch_lines_random(
        [f"*test_mark[[]{name}] PASSED*" for name in ("three", "two")]
        + [f"*test_machine[[]{name}] PASSED*" for name in ("one-1.0", "three", "two")]
        + ["*test_local[[]local*] PASSED*"]
    )


def test_a_mark_chooses_among_the_hosts(made: World) -> None:
    write(
        made,
        "testinfra_hosts = ['distromatrix://*']\n"
        "@pytest.mark.distros('t*')\ndef test_it(host): pass\n",
    )
    assert made.collected() == [f"tests/test_a.py::test_it[{name}]" for name in ("three", "two")]
    done = made.pytester.runpytest("-q", "-rs", "--hosts=distromatrix://one-1.0")
    done.assert_outcomes(skipped=1)
    done.stdout.fnmatch_lines(["SKIPPED*none of its hosts is one that @pytest.mark.distros is for"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "testinfra_hosts = ['distromatrix://one-1.0']\n"
            "@pytest.mark.distros('t*')\ndef test_it(host): pass\n",
            "none of its hosts is one that @pytest.mark.distros is for",
        ),
        (
            "testinfra_hosts = ['distromatrix://two']\n"
            "@pytest.mark.distros(suite='good')\ndef test_it(host): pass\n",
            "its hosts already name a suite, so @pytest.mark.distros cannot",
        ),
        (
            "testinfra_hosts = ['local://']\ndef test_it(host, machine): pass\n",
            "its host is local://, which has no machine: use `machine.host`, or testinfra_hosts",
        ),
        (
            "testinfra_hosts = ['local://', 'distromatrix://two']\n"
            "def test_it(host, machine): pass\n",
            "its host local:// is not a distromatrix host, so it has no machine",
        ),
    ],
)
def test_what_does_not_go_together_is_told(made: World, text: str, message: str) -> None:
    write(made, text)
    done = made.pytester.runpytest("-q")
    done.assert_outcomes(errors=1)
    [line] = [line for line in done.outlines if line.startswith("tests/test_a.py::test_it: ")]
    assert message in line


def test_facts_of_a_hosts_distro_are_marks(made: World) -> None:
    write(made, f"testinfra_hosts = ['distromatrix://*', 'local://']\n{HOST}")
    assert made.collected("-m", "musl") == ["tests/test_a.py::test_it[two]"]
    assert made.collected("-m", "glibc", "-k", "one") == ["tests/test_a.py::test_it[one-1.0]"]


def test_a_machine_that_dies_makes_errors_and_no_failures(made: World) -> None:
    write(
        made,
        "testinfra_hosts = ['distromatrix://t*']\n"
        "def test_1(host, machine):\n"
        "    if 'two' in repr(host):\n"
        "        machine._machine().kill()\n"
        "    assert host.run('true').rc == 0\n"
        "def test_2(host): assert host.run('true').rc == 0\n",
    )
    done = made.pytester.runpytest("-q")
    done.assert_outcomes(passed=2, errors=2)
    assert "Traceback" not in done.stdout.str()
    assert "backend" not in done.stdout.str()


def test_a_session_knows_nothing_of_the_one_before(made: World) -> None:
    write(made, f"testinfra_hosts = ['distromatrix://*']\n{HOST}")
    made.pytester.runpytest("-q").assert_outcomes(passed=3)
    made.matrix(MACHINES.replace("one-1.0, ", "").replace("two: ", ""))
    made.pytester.runpytest("-q").assert_outcomes(passed=2)
    made.pytester.runpytest("-q").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("-n2",),
        pytest.param(("--hosts=distromatrix://two",), marks=pytest.mark.slow),
    ],
)
def test_a_matrix_with_faults_is_told_once(made: World, arguments: tuple[str, ...]) -> None:
    made.matrix(MACHINES.replace("suites:", "suits:"))
    for name in ("test_a", "test_b"):
        write(made, f"testinfra_hosts = ['distromatrix://*']\n{HOST}", name)
    done = made.pytester.runpytest_subprocess("-q", *arguments)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    said = done.stdout.str() + done.stderr.str()
    assert said.count("unknown key `suits`") == 1


def test_workers_share_machines(made: World) -> None:
    write(
        made,
        "testinfra_hosts = ['distromatrix://t*']\n"
        "@pytest.mark.parametrize('n', range(10))\n"
        "def test_it(host, n): assert host.run('echo %s >>ran', str(n)).rc == 0\n"
        "@pytest.mark.parametrize('n', range(10))\n"
        "def test_machine(host, machine, n): assert machine.run('true').ok\n",
    )
    done = made.pytester.runpytest_subprocess("-q", "-n2")
    done.assert_outcomes(passed=40)
    assert not list((made.fake / "machines").iterdir())


def test_a_script_without_pytest_has_hosts_too(made: World) -> None:
    script = """
        import testinfra
        import distromatrix.testing.hosts
        host = testinfra.get_host("distromatrix://three?suite=good")
        print(host.check_output("echo $FROM_SUITE"), host.backend.get_pytest_id())
        print(len(testinfra.get_hosts(["distromatrix://*"])))
        """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=made.root, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("yes three/good\n3\n", "")
    assert not list((made.fake / "machines").iterdir())


def test_testinfra_is_not_imported_for_those_who_do_not_use_it(made: World) -> None:
    (made.root / "tests/test_a.py").write_text(
        "import sys\ndef test_it(machine): assert machine.run('true').ok\n"
        "def test_none(): assert 'testinfra' not in sys.modules\n"
    )
    done = made.pytester.runpytest_subprocess("-q", "-p", "no:pytest11.testinfra")
    done.assert_outcomes(passed=4)
