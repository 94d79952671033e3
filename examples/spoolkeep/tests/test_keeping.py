"""What the command does, with the fixtures `machine` and `fresh_machine`."""

import pytest

pytestmark = pytest.mark.distros("*", suite="installed")

FILES = "for n in 1 2 3 4; do touch -d 2024-01-0$n $n; done"


@pytest.fixture
def spool(machine):
    """A folder of the test's own: others use the machine at the same time."""
    folder = machine.run("mktemp -d", check=True).stdout.strip()
    machine.run(FILES, cwd=folder, check=True)
    machine.put(f"FOLDER={folder}\nKEEP=2\n", f"{folder}.conf")
    yield folder
    machine.run(f"rm -r {folder} {folder}.conf", check=True)


def test_the_newest_stay(machine, spool):
    machine.run("spoolkeep", env={"SPOOLKEEP_CONF": f"{spool}.conf"}, check=True)
    assert machine.run(f"ls {spool}").stdout.split() == ["3", "4"]


def test_a_dry_run_removes_nothing(machine, spool):
    done = machine.run("spoolkeep --dry-run", env={"SPOOLKEEP_CONF": f"{spool}.conf"})
    assert done.stdout == f"would remove {spool}/2\nwould remove {spool}/1\n"
    assert len(machine.run(f"ls {spool}").stdout.split()) == 4


@pytest.mark.parametrize("value", ["", "many", "-1"])
def test_nonsense_is_refused(machine, spool, value):
    machine.put(f"FOLDER={spool}\nKEEP={value}\n", f"{spool}.conf")
    done = machine.run("spoolkeep", env={"SPOOLKEEP_CONF": f"{spool}.conf"})
    assert (done.status, done.stdout) == (2, "")
    assert f"KEEP={value} is not a number" in done.stderr


@pytest.mark.distros("debian-12", libc="musl", suite="installed")
def test_removing_leaves_nothing_but_the_spool(fresh_machine):
    """Changes the machine, and so has one of its own."""
    fresh_machine.run("sh install.sh --remove", check=True)
    with pytest.raises(FileNotFoundError):
        fresh_machine.get("/etc/spoolkeep.conf")
    assert fresh_machine.run("command -v spoolkeep").status != 0
    assert fresh_machine.host.file("/var/spool/spoolkeep").is_directory


def test_installing_again_keeps_the_configuration(fresh_machine):
    fresh_machine.put("FOLDER=/tmp\nKEEP=9\n", "/etc/spoolkeep.conf")
    fresh_machine.run("sh install.sh", check=True)
    assert b"KEEP=9" in fresh_machine.get("/etc/spoolkeep.conf")
