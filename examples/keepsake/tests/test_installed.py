"""What the installation leaves, looked at with testinfra in one machine of each distribution."""

testinfra_hosts = ["distromatrix://*?suite=installed"]


def test_the_command_is_everybodys(host):
    command = host.file("/usr/local/bin/keepsake")
    assert command.is_file
    assert (command.user, command.mode) == ("root", 0o755)
    assert host.check_output("keepsake --version") == "keepsake 1.2"


def test_the_store_is_roots_alone(host):
    store = host.file("/var/lib/keepsake")
    assert store.is_directory
    assert (store.user, store.group, store.mode) == ("root", "root", 0o700)


def test_the_configuration_can_be_read_by_all(host):
    conf = host.file("/etc/keepsake.conf")
    assert conf.mode == 0o644
    assert conf.contains("^KEEP=3$")


def test_a_wrong_call_says_how(host):
    done = host.run("keepsake")
    assert (done.rc, done.stderr) == (2, "usage: keepsake FOLDER\n")


def test_the_shell_is_the_distributions_own(host, distro):
    """Fixtures and testinfra together: `distro` is the one that `host` is of."""
    target = host.file("/bin/sh").linked_to
    assert target.endswith("busybox" if distro.family == "alpine" else "dash")
