"""`distromatrix doctor`."""

from __future__ import annotations

import os
from functools import partial

import click

from distromatrix.cli.options import options, settings_here
from distromatrix.cli.output import ask, echo, open_console
from distromatrix.errors import EXIT_INFRASTRUCTURE


@click.command(name="doctor")
@options("engine")
@click.option("--guests", is_flag=True, help="What guests need is needed, too: QEMU, Vagrant.")
@click.option("--fix", is_flag=True, help="Mend what is missing (Debian and Ubuntu).")
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
def command(guests: bool, fix: bool, yes: bool) -> int:
    """See whether this machine has all that is needed; without --fix it only looks.

    Each thing is shown with the exact command that mends it. Exits 69 when something is
    missing without which no cell can run. What only guests need (cells with a kernel of their
    own) is a warning, unless --guests asks for it.

    \b
    Examples:
      distromatrix doctor
      distromatrix doctor --fix --yes
      distromatrix doctor --engine podman --fix
      distromatrix doctor --guests --fix    # QEMU, Vagrant, libvirtd; and does KVM work?
    """
    from distromatrix import doctor
    from distromatrix.files.user_folders import cache_folder

    settings = settings_here()
    console = open_console()
    cache = cache_folder()
    examine = partial(doctor.examine, settings, os.environ, cache=cache, guests=guests)
    checks = examine()
    doctor.render(console, checks)
    if fix:
        agreed = (lambda _: True) if yes else ask
        if doctor.fix(
            checks, ask=agreed, say=echo, guests=partial(doctor.mend_guests, cache=cache)
        ):
            before, checks = checks, examine()
            new = (one for one in checks if one not in before or one.status == "missing")
            doctor.render(console, new)
    return EXIT_INFRASTRUCTURE if any(c.status == "missing" for c in checks) else 0
