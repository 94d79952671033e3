"""zypper, of openSUSE and SUSE: `zypper --root`."""

from __future__ import annotations

import shlex

from distromatrix.images.base.bootstrap import rpm
from distromatrix.images.base.bootstrap.base import BootstrapJob, Tool, Work, pattern
from distromatrix.images.packages.zypper import ZYPPER

_CONFIG = (
    "[main]\nsolver.onlyRequires = true\nrpm.install.excludedocs = yes\n"
    "commit.downloadMode = DownloadInAdvance\n"
)
# As zypper 1.14 prints it; the rest is read as in a cell.
_FAILURES = (
    pattern("full", r"^(.*(?:not enough|insufficient) (?:disk )?space.*)$"),
    pattern("unreachable", r"^Error message: (.*)$"),
)


def _work(job: BootstrapJob) -> Work:
    """What zypper trusts are the keys in the tree's own RPM database."""
    imports = "".join(f'rpm --root "$root" --import {shlex.quote(str(key))}\n' for key in job.keys)
    suite = (f"--releasever={job.source.suite}",) if job.source.suite else ()
    zypper = shlex.join(
        (
            *("zypper", "--non-interactive", f"--config={job.folder}/zypper.conf"),
            *(f"--root={job.root}", f"--reposd-dir={job.folder}/repos"),
            *suite,
            *(() if job.keys else ("--no-gpg-checks",)),
            *job.options,
        )
    )
    packages = shlex.join(job.source.packages)
    install = (
        'export ZYPP_CONF="$folder/zypp.conf" ZYPP_LOGFILE="$folder/zypper.log"\n'
        # A repository that cannot be had would only be skipped by `install`.
        f"{imports}{zypper} refresh\n"
        f"{zypper} install --no-recommends --auto-agree-with-licenses {packages}\n"
    )
    return rpm.rpm_work(
        job,
        install,
        repos="etc/zypp/repos.d",
        files={"zypp.conf": _CONFIG, "zypper.conf": ""},
        without=("var/cache/zypp", "var/log/zypp*", "run/zypp*"),
        suse=True,
    )


TOOL = Tool(
    name="zypper",
    programs=(("zypper", "apt-get install zypper"), ("rpm", "apt-get install rpm")),
    work=_work,
    failures=_FAILURES,
    reads=ZYPPER,
    key_folders=rpm.KEY_FOLDERS,
)
