"""What the installation leaves, by testinfra: on every distribution of the matrix."""

testinfra_hosts = ["distromatrix://*?suite=installed"]


def test_the_command_is_there(host):
    command = host.file("/usr/local/bin/spoolkeep")
    assert command.is_file
    assert command.user == "root"
    assert command.mode == 0o755
    assert host.run("spoolkeep --dry-run").rc == 0


def test_its_configuration_is_readable_by_all(host):
    configuration = host.file("/etc/spoolkeep.conf")
    assert configuration.mode == 0o644
    assert configuration.contains("^KEEP=5$")


def test_it_has_a_user_who_cannot_log_in(host):
    user = host.user("spoolkeep")
    assert user.home == "/var/spool/spoolkeep"
    assert user.shell.endswith("/nologin")
    assert host.file(user.home).user == "spoolkeep"


def test_its_shell_is_there(host, distro):
    """`distro` is that of `host`."""
    shell = host.user("spoolkeep").shell
    assert host.file(shell).exists, f"{distro.title} has no {shell}"
