"""What changed in a container is the same in a guest of its image afterwards, and nothing else is
carried."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from distromatrix.engines.changes import TooMuchError
from distromatrix.engines.contract import Machine, MachineSpec
from distromatrix.engines.docker.engine import DockerEngine
from distromatrix.errors import InfrastructureError

from .conftest import IN_GUEST, IN_QEMU, Bench, Tar, bench_of, said

# setxattr(2) and getxattr(2) of x86_64, by what each Debian has.
_MARKED = """perl -e 'my ($path, $name, $us) = ("/opt/all", "user.of", "us");
  syscall(188, $path, $name, $us, 2, 0) and die;
  my ($name, $cap) = ("security.capability", pack("V5", 0x02000001, 1 << 10, 0, 0, 0));
  syscall(188, $path, $name, $cap, 20, 0) and die;
  my @may = (1, 7, -1, 2, 4, 1234, 4, 5, -1, 16, 5, -1, 32, 5, -1);
  my ($name, $acl) = ("system.posix_acl_access", pack("V(vvl<)5", 2, @may));
  syscall(188, $path, $name, $acl, length $acl, 0) and die'"""
SETUP = f"""mkdir -p /opt/made/deep '/opt/-a b' && echo new >'/opt/-a b/
line' && echo more >>/etc/profile
cp /bin/true /opt/all && chown 1234:4321 /opt/all && chmod 4751 /opt/all && {_MARKED}
ln /opt/all /opt/made/again && ln -s all /opt/link && mkfifo /opt/made/fifo
touch -d '2001-02-03 04:05:06.789' /opt/made/deep
truncate -s 1G /opt/holes && echo end >>/opt/holes
rm /etc/debian_version && rm -r /usr/share/base-files
rm /etc/issue && mkdir /etc/issue && echo x >/etc/issue/in
rm -r /etc/skel && echo file >/etc/skel
chmod 700 /usr/share/doc && echo joe:x:1500:1500::/:/bin/sh >>/etc/passwd
echo no >/run/stays && echo no >>/etc/hosts
cd /distromatrix/product && echo more >>hello && mv sub other && echo kept >../out/artifacts/it
(sleep 1000 &)"""
SEEN = r"""cd /
find opt etc/profile etc/issue etc/skel distromatrix/product distromatrix/out \
  \( -type d -printf '%p %y %m %U %G\n' \) -o -printf '%p %y %m %U %G %s %T@ %n %l\n' | sort
stat -c '%n %A %y' usr/share/doc opt/made/deep
ls -d etc/debian_version usr/share/base-files 2>/dev/null
grep -h joe etc/passwd; cat etc/profile distromatrix/product/hello 'opt/-a b/
line'; cmp opt/all bin/true && [ opt/all -ef opt/made/again ] && echo linked
tail -c 4 opt/holes; [ "$(du -k opt/holes | cut -f1)" -lt 100 ] && echo sparse
perl -e 'for my $name (@ARGV) { my ($path, $v) = ("/opt/all", "\0" x 64);
  my $n = syscall(191, $path, $name, $v, 64);
  print "$name ", unpack("H*", substr($v, 0, $n)), "\n" }' \
  user.of security.capability system.posix_acl_access
"""
OWN = "cut -d: -f1 /etc/passwd; cat /etc/hosts; uname -r"


@pytest.fixture(
    params=[pytest.param("qemu", marks=IN_QEMU), pytest.param("vagrant", marks=IN_GUEST)]
)
def guests(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Each engine of guests."""
    yield from bench_of(request)


@pytest.fixture
def container(guests: Bench) -> Iterator[Machine]:
    """One of the image that its guests are made of."""
    engine = DockerEngine()
    stage = engine.stage(Tar(guests.snapshot), image=guests.image, labels=guests.labels)
    name = f"distromatrix-test-{guests.run}"
    machine = engine.open(MachineSpec(name=name, image=guests.image, labels=guests.labels), stage)
    yield machine
    machine.close()
    stage.close()
    engine.close()


def test_a_guest_is_as_setup_left_the_container(
    guests: Bench, container: Machine, tmp_path: Path
) -> None:
    assert container.note_state()
    done, out = said(container, SETUP, strict=False)
    assert done.status == 0, out
    assert container.signal_left("KILL")
    seen = said(container, SEEN, strict=False)[1].decode()
    for word in (
        "linked",
        "sparse",
        "user.of 7573",
        "security.capability 0100000200040000",
        "0200000001000700",
    ):
        assert word in seen
    with pytest.raises(TooMuchError):
        container.changes(tmp_path, 10_000)
    changes = container.changes(tmp_path, 10 * 1024**2)
    assert not any(tmp_path.glob("tmp*"))
    stage = guests.stage()
    guest = guests.open(stage)
    own = said(guest, OWN)[1]
    guest.take(changes)
    changes.close()
    assert said(guest, SEEN, strict=False)[1].decode() == seen
    after = said(guest, OWN)[1]
    assert sorted(after.split()) == sorted([*own.split(), b"joe"])
    assert said(guest, "ls /run/stays")[0].status != 0
    with pytest.raises(InfrastructureError, match="no other way"):
        guest.note_state()
    guest.close()
    stage.close()


@pytest.mark.engine
def test_an_image_without_the_programs_for_it_says_so(docker_alpine: str) -> None:
    engine = DockerEngine()
    machine = engine.open(MachineSpec(name="distromatrix-test-no-gnu", image=docker_alpine))
    assert not machine.note_state()
    machine.close()
    engine.close()
