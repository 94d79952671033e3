"""dnf, of Fedora and what comes from it: `dnf --installroot`, version 4 or 5."""

from __future__ import annotations

import shlex

from distromatrix.images.base.bootstrap import rpm
from distromatrix.images.base.bootstrap.base import BootstrapJob, Tool, Work, pattern
from distromatrix.images.packages.dnf import DNF

# As dnf 4.14 and dnf5 print them; the rest is read as in a cell.
_FAILURES = (
    pattern("full", r"^(?:Error: )?(.*needs \S+ more space.*|.*more space needed on.*)$"),
    pattern("not-found", r"(Status code: 4\d\d for .*)$"),
    pattern("unreachable", r"(Curl error \(\d+\).*)$"),
    pattern("unreachable", r"^.*(No more mirrors to try.*)$"),
    pattern(
        "signature", r"^ *((?:Package .* is not signed|Public key for .* is not installed).*)$"
    ),
)


def _work(job: BootstrapJob) -> Work:
    """Its caches and logs lie in the tree until they are cleaned away: dnf 4
    puts some there whatever it is told."""
    config = (
        "[main]\n"
        f"gpgcheck={1 if job.keys else 0}\n"
        "install_weak_deps=False\ntsflags=nodocs\nbest=True\nskip_if_unavailable=False\nretries=2\ntimeout=30\n"
        f"plugins=False\nreposdir={job.folder}/repos\nvarsdir={job.folder}/vars\n"
    )
    suite = (f"--releasever={job.source.suite}",) if job.source.suite else ()
    line = shlex.join(
        (
            f"--config={job.folder}/dnf.conf",
            f"--setopt=reposdir={job.folder}/repos",
            f"--setopt=varsdir={job.folder}/vars",
            f"--installroot={job.root}",
            *suite,
            *job.options,
            "install",
            *job.source.packages,
        )
    )
    install = f'dnf=$(command -v dnf5 || command -v dnf)\n"$dnf" --assumeyes {line}\n'
    return rpm.rpm_work(
        job,
        install,
        repos="etc/yum.repos.d",
        files={"dnf.conf": config, "vars/.keep": ""},
        without=("var/cache/dnf", "var/cache/libdnf5", "var/log/dnf*", "var/log/hawkey.log"),
    )


TOOL = Tool(
    name="dnf",
    programs=(("dnf5|dnf", "apt-get install dnf"),),
    work=_work,
    failures=_FAILURES,
    reads=DNF,
    key_folders=rpm.KEY_FOLDERS,
)
