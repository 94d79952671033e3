import ipaddress

import pytest
from hostfence.rules import networks, ruleset


def test_comments_and_empty_lines_are_none():
    assert networks("# all\n\n192.0.2.0/24 # a net\n") == [ipaddress.ip_network("192.0.2.0/24")]


def test_neighbours_become_one():
    assert networks("192.0.2.0/25\n192.0.2.128/25\n") == [ipaddress.ip_network("192.0.2.0/24")]


def test_both_families():
    assert [n.version for n in networks("2001:db8::/32\n192.0.2.0/24\n")] == [4, 6]


@pytest.mark.parametrize("line", ["192.0.2.1/24", "300.1.1.1", "net"])
def test_a_wrong_line_is_told_by_its_number(line):
    with pytest.raises(ValueError, match=r"^line 2: "):
        networks(f"# one\n{line}\n")


def test_a_rule_for_each_network():
    script = ruleset(networks("192.0.2.0/24\n2001:db8::/32\n"))
    assert "ip saddr 192.0.2.0/24 counter drop" in script
    assert "ip6 saddr 2001:db8::/32 counter drop" in script
