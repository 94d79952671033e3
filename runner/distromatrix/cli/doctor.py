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
@click.option("--guests", is_flag=True, help="Require what guests need too: QEMU, Vagrant.")
@click.option("--fix", is_flag=True, help="Install or fix what is missing (Debian and Ubuntu).")
@click.option("--yes", is_flag=True, help="Do not ask before each fix.")
def command(guests: bool, fix: bool, yes: bool) -> int:
    """Check this machine for missing requirements, and fix them with --fix.

    Shows the exact command that fixes each problem. Exits with 69 if a requirement for running
    cells is missing. Missing requirements of guests (cells with their own kernel) are warnings
    without --guests.

    \b
    Examples:
      distromatrix doctor
      distromatrix doctor --fix --yes
      distromatrix doctor --engine podman --fix
      distromatrix doctor --guests --fix    install QEMU, Vagrant and libvirtd; check KVM
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
