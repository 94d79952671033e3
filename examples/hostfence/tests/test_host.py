import subprocess

import pytest
from hostfence import host
from hostfence.rules import networks, ruleset


def said(*command):
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout


@pytest.mark.needs("kernel-modules")
def test_nftables_takes_the_rules():
    host.fence(ruleset(networks("192.0.2.0/24\n")))
    assert "192.0.2.0/24" in said("nft", "list", "table", "inet", "hostfence")
    host.fence(ruleset(networks("198.51.100.0/24\n")))
    assert "192.0.2.0/24" not in said("nft", "list", "table", "inet", "hostfence")


@pytest.mark.needs("sysctl")
def test_settings_are_written_once():
    host.tune()
    assert host.tune() == {}


@pytest.mark.needs("mount", "kernel-modules")
def test_records_have_a_disk_of_their_own(tmp_path):
    said("modprobe", "loop")
    where = tmp_path / "records"
    host.records(tmp_path / "records.img", where)
    try:
        assert where.is_mount()
        (where / "one").write_text("record\n")
    finally:
        said("umount", str(where))
    host.records(tmp_path / "records.img", where)
    assert (where / "one").read_text() == "record\n"
    said("umount", str(where))
