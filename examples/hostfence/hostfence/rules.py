"""The list of networks, and what nftables makes of it."""

import ipaddress

TABLE = "hostfence"


def networks(text):
    """The networks in a list: one a line, `#` begins a comment. Raises ValueError."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        word = line.partition("#")[0].strip()
        if word:
            try:
                found.append(ipaddress.ip_network(word))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
    return list(ipaddress.collapse_addresses(n for n in found if n.version == 4)) + list(
        ipaddress.collapse_addresses(n for n in found if n.version == 6)
    )


def ruleset(nets):
    """A script for `nft -f -` that drops what comes from these networks."""
    lines = [f"add table inet {TABLE}", f"delete table inet {TABLE}", f"table inet {TABLE} {{"]
    lines += ["  chain input {", "    type filter hook input priority 0;"]
    for net in nets:
        family = "ip" if net.version == 4 else "ip6"
        lines.append(f"    {family} saddr {net} counter drop")
    return "\n".join([*lines, "  }", "}", ""])
