"""hostfence LIST: fence this host by a list of networks; --boot counts the boots as well."""

import sys
from pathlib import Path

from hostfence.host import fence, tune
from hostfence.rules import networks, ruleset

STATE = Path("/var/lib/hostfence")


def main(words):
    boot = "--boot" in words
    (name,) = [word for word in words if word != "--boot"]
    fence(ruleset(networks(Path(name).read_text())))
    tune()
    if boot:
        STATE.mkdir(parents=True, exist_ok=True)
        count = STATE / "boots"
        boots = int(count.read_text()) if count.exists() else 0
        count.write_text(f"{boots + 1}\n")


main(sys.argv[1:])
