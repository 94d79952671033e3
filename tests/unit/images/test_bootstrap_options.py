"""What a distro's file may have the tools do that build images on the host."""

from __future__ import annotations

import re
from pathlib import Path
from threading import Event

import pytest
import yaml
from cli_world import DISTRO, Cli
from images_fakes import distro

from distromatrix.errors import ImageError
from distromatrix.images.base.bootstrap import bootstrap
from distromatrix.load.shapes.bootstrap_options import refused_options
from distromatrix.model import Bootstrap, BootstrapTool

REFUSED: dict[BootstrapTool, list[str]] = {
    "mmdebstrap": [
        "--setup-hook=touch /tmp/x",
        "--customize-hook=id",
        "--essential-hook=id",
        "--extract-hook=id",
        "--hook-dir=/tmp/x",
        "--hook-directory=x",
        "--setup=touch /tmp/x",  # Getopt::Long takes what is short for it
        "--custom=id",
        "--mode=chrootless",
        "--include=./evil.deb",
        "--resume",
        "--aptopt=APT::Update::Pre-Invoke:: id",
        "--aptopt=DPkg::Pre-Invoke {id;};",
        '--aptopt=Acquire::Retries "3"; APT::Update::Pre-Invoke {"id";}',
        '--aptopt=Acquire::Retries "3"\nAPT::Update::Pre-Invoke "id"',
        '--aptopt=Acquire::Languages "$(id)"',
        "--aptopt=/etc/shadow",
        "--aptopt=Dir::Bin::dpkg /tmp/x",
        "--aptopt=Acquire::AllowInsecureRepositories true",
        "--dpkgopt=pre-invoke=id",
        "--dpkgopt=path-exclude=/x\npre-invoke=id",
        "--dpkgopt=/etc/shadow",
        "--keyring=/x,--setup-hook=id",
        "--keyring=../../../etc/shadow",
        "--keys=/etc/shadow",
        "sid",
        "/tmp/target",
    ],
    "dnf": [
        "--setopt=plugins=True",
        "--setopt=pluginpath=/tmp/x",
        "--setopt=reposdir=/tmp",
        "--setopt=retries=1\nplugins=1",
        "--enableplugin=x",
        "--config=/tmp/x",
        "--nogpgcheck",
        "--installroot=/",
        "--repofrompath=x,http://evil.example",
        "--keys=../../.ssh/id_rsa",
        "-c/tmp/x",
    ],
    "zypper": [
        "--config=/x",
        "--root=/",
        "--no-gpg-checks",
        "--gpg-auto-import-keys",
        "--plus-repo",
    ],
    "pacman": ["--hookdir=/x", "--root=/", "--config=/x", "--sysroot=/", "--gpgdir=/x", "-U"],
    "apk": ["--keys-dir=/x", "--root=/", "--allow-untrusted", "-X/x", "--repository=http://evil"],
}
ALLOWED: dict[BootstrapTool, list[str]] = {
    "mmdebstrap": [
        '--aptopt=Acquire::Check-Valid-Until "false"',
        '--aptopt=APT::Install-Recommends "true"',
        "--aptopt=Acquire::Retries 3",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--components=main,universe",
        "--components=main contrib",
        "--variant=essential",
        "--keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg",
    ],
    "dnf": ["--setopt=module_platform_id=platform:el9", "--nobest", "--keys=fedora/KEY-43"],
    "zypper": ["--keys=opensuse/RPM-GPG-KEY-openSUSE*", "--no-signatures"],
    "pacman": ["--keys=archlinux.gpg", "--needed"],
    "apk": ["--keys=alpine-linux/*.rsa.pub", "--timeout=30", "--no-scripts"],
}
ANY = [(tool, option) for tool, options in REFUSED.items() for option in options]


@pytest.mark.parametrize(("tool", "option"), ANY)
def test_an_option_that_reaches_the_host_is_refused_for_good(
    cli: Cli, project: Path, tool: BootstrapTool, option: str
) -> None:
    said = yaml.safe_dump({"tool": tool, "suite": "x", "packages": ["base"], "options": [option]})
    file = project / "distros/one.yaml"
    indented = "".join(f"      {line}\n" for line in said.splitlines())
    file.write_text(DISTRO.partition("image:")[0] + f"image:\n  - bootstrap:\n{indented}")
    said_of = cli("run", "one/good", "--trust")
    assert said_of.code == 2
    assert re.match(r"distros/one.yaml:(9|10):\d+: ", said_of.err)
    assert "Traceback" not in said_of.err
    assert not (project / ".distromatrix").exists()


@pytest.mark.parametrize("tool", ALLOWED)
def test_what_does_no_harm_may_be_said(tool: BootstrapTool) -> None:
    assert refused_options(tool, ALLOWED[tool]) == []


@pytest.mark.parametrize("source", [{"options": ("--setup-hook=id",)}, {"packages": ("/x.deb",)}])
def test_a_source_that_no_file_was_read_for_is_looked_at_before_its_tool_is_called(
    tmp_path: Path, source: dict[str, tuple[str, ...]]
) -> None:
    wanted = Bootstrap(tool="mmdebstrap", suite="sid", **source)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="may not be given to it"):
        bootstrap(wanted, distro(), "", tmp_path / "job", Event())
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize(
    "name",
    ["/tmp/evil.rpm", "https://evil.example/x.rpm", "file:///x", "./x.deb", "/x.apk", "-oX=y"],
)
def test_a_package_is_no_file(cli: Cli, project: Path, name: str) -> None:
    source = f'{{tool: dnf, packages: ["{name}"], options: [--no-signatures]}}'
    file = project / "distros/one.yaml"
    file.write_text(DISTRO.partition("image:")[0] + f"image: [{{bootstrap: {source}}}]\n")
    said = cli("run", "one/good", "--trust")
    assert said.code == 2
    assert said.err.startswith("distros/one.yaml:6:")


@pytest.mark.parametrize(
    "key",
    [
        "title: \"a\\nsystem 'id'\"",
        "guest: {box: \"a/b\\nsystem 'id'\"}",
        'guest: {box: "a/b", version: "1\\nsystem \'id\'"}',
        'guest: {vagrantfile: "V\\nx"}',
        'guest: {vagrantfile: V, machine: "m\\nx"}',
        'guest: {box: "file:///tmp/evil.box"}',
        'guest: {box: "../evil.box"}',
        'image: [{pull: "docker.io/library/x\\ny"}]',
    ],
)
def test_a_name_is_one_line(cli: Cli, project: Path, key: str) -> None:
    file = project / "distros/one.yaml"
    start = key.partition(":")[0] + ":"
    lines = [li for li in DISTRO.replace("NAME", "one").splitlines() if not li.startswith(start)]
    file.write_text("\n".join([*lines, key, ""]))
    said = cli("run", "one/good", "--trust")
    assert said.code == 2
    assert said.err.startswith("distros/one.yaml:")
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("path", ["/dev/.", "/dev/./sda", "/dev//sda", "/dev/../etc", "/dev/"])
def test_a_device_is_no_way_to_all_of_them(cli: Cli, project: Path, path: str) -> None:
    with (project / "matrix/default.yaml").open("a") as file:
        file.write(f"defaults: {{privileges: [{path}]}}\n")
    said = cli("run", "one/good", "--trust")
    assert said.code == 2
    assert "no privilege" in said.err
