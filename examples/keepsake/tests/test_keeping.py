"""What it does, in machines that tests may change: each test has a fresh one."""

import pytest

pytestmark = pytest.mark.distros("*", suite="installed")


def test_the_newest_copies_stay(fresh_machine):
    fresh_machine.put("KEEP=2\n", "/etc/keepsake.conf")
    fresh_machine.run("mkdir /srv/box && for n in 1 2 3 4; do keepsake /srv/box; done", check=True)
    kept = fresh_machine.run("ls /var/lib/keepsake", check=True).stdout.split()
    assert kept == ["box-000003.tar.gz", "box-000004.tar.gz"]


def test_a_copy_holds_what_was_there(fresh_machine):
    fresh_machine.run("mkdir /srv/box", check=True)
    fresh_machine.put(b"\x00\xff", "/srv/box/bytes")
    copy = fresh_machine.run("keepsake /srv/box", check=True).stdout.strip()
    fresh_machine.run(f"mkdir /back && tar -C /back -xzf {copy}", check=True)
    assert fresh_machine.get("/back/box/bytes") == b"\x00\xff"


def test_a_second_installation_keeps_the_configuration(fresh_machine):
    fresh_machine.put("KEEP=9\n", "/etc/keepsake.conf")
    fresh_machine.run(f"sh {fresh_machine.product}/install.sh", check=True)
    assert fresh_machine.get("/etc/keepsake.conf") == b"KEEP=9\n"


@pytest.mark.distros("alpine-*", "debian-12", suite="installed")
def test_without_rights_it_changes_nothing(machine):
    """`machine` is shared: a test that only looks need not have its own."""
    done = machine.run("keepsake /nowhere")
    assert (done.status, done.stderr) == (1, "keepsake: /nowhere: no such folder\n")
