"""What Vagrant's guests are described by: a Vagrantfile, a saved guest's definition, a console."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from distromatrix.engines.contract import LABEL_FOLDER, LABEL_HOST, LABEL_RUN
from distromatrix.engines.guest.console import last_lines, panic
from distromatrix.engines.guest.facts import leftovers
from distromatrix.engines.guest.ready import DONE
from distromatrix.engines.guest.scripts import of_commands, written
from distromatrix.engines.shell.processes import Process
from distromatrix.engines.vagrant.boxes import Boxes
from distromatrix.engines.vagrant.command import message
from distromatrix.engines.vagrant.folders import Home
from distromatrix.engines.vagrant.libvirt.domain import disks_in
from distromatrix.engines.vagrant.libvirt.libvirtd import Libvirtd
from distromatrix.engines.vagrant.libvirt.saved_state import (
    clone_definition,
    disks_of,
    is_shared,
    read_saved,
    write_clone,
)
from distromatrix.engines.vagrant.source import why_not_root
from distromatrix.engines.vagrant.templates import BoxTemplates
from distromatrix.engines.vagrant.vagrantfile import Definition, arguments_of, vagrantfile
from distromatrix.errors import InfrastructureError
from distromatrix.files.lock import hold
from distromatrix.model import ProviderName
from distromatrix.record.folder import is_alive

XML = """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>distromatrix-template-1-guest</name>
  <uuid>7618f645-f435-4ccf-b23c-09aa93abad91</uuid>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/pool/template.img' index='1'/>
      <backingStore type='file'><source file='/pool/box.img'/></backingStore>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'><source file='/cd.iso'/><readonly/></disk>
    <serial type='file'><source path='/template/console.log'/></serial>
    <channel type='unix'><source mode='bind' path='/run/t'/><target type='virtio'/></channel>
  </devices>
  <qemu:commandline><qemu:arg value='-netdev'/><qemu:arg value='old'/></qemu:commandline>
</domain>"""
DEFINITION = Definition(
    title="The guest of a test",
    name="distromatrix-one",
    uri="qemu:///system?socket=/s",
    port=2222,
    memory=1024,
    cpus=1,
    kvm=False,
    cpu="max",
    console="/c/console.log",
    box="debian/bookworm64",
)


CLONE = replace(DEFINITION, console="/one/console.log")
UUID = "11111111-2222-3333-4444-555555555555"
DISKS = {"/pool/template.img": "/pool/one.img"}


def saved_file(path: Path, xml: str, cookie: str, memory: bytes) -> Path:
    """As libvirt 9 writes it (virQEMUSaveHeader)."""
    text, extra = xml.encode() + b"\0", cookie.encode() + b"\0" if cookie else b""
    length = len(text) + len(extra)
    head = struct.pack("=16s5I", b"LibvirtQemudSave", 2, length, 1, 0, len(text) if cookie else 0)
    path.write_bytes(head + bytes(56) + text + extra + memory)
    return path


def test_a_clones_definition_shares_nothing_with_its_template() -> None:
    made = clone_definition(XML, CLONE, UUID, DISKS)
    for gone in ("template", "7618f645", "old", "/run/t", "box.img"):
        assert gone not in made
    for there in (CLONE.name, CLONE.title, UUID, "/pool/one.img", "/one/console.log", "2222-:22"):
        assert there in made
    assert disks_of(made) == ("/pool/one.img",)
    assert "/cd.iso" in made


def test_a_network_of_ones_own_is_not_cloned() -> None:
    bridged = XML.replace("<devices>", "<devices><interface type='network'/>")
    assert is_shared(bridged)
    assert not is_shared(XML)
    with pytest.raises(InfrastructureError, match="network"):
        clone_definition(bridged, CLONE, UUID, DISKS)


@pytest.mark.parametrize("cookie", ["", "<cookie><slirpHelper/></cookie>"])
def test_a_saved_guest_gets_another_definition_and_keeps_its_memory(
    tmp_path: Path, cookie: str
) -> None:
    memory = os.urandom(3_000_000)
    file = saved_file(tmp_path / "state", XML, cookie, memory)
    saved = read_saved(file)
    assert saved.definition == XML
    write_clone(file, saved, "<domain>longer or shorter</domain>", tmp_path / "clone")
    again = read_saved(tmp_path / "clone")
    assert again.definition == "<domain>longer or shorter</domain>"
    assert again.cookie == cookie.encode()
    assert (tmp_path / "clone").read_bytes()[again.offset :] == memory


@pytest.mark.parametrize("content", [b"", b"LibvirtQemudPart" + bytes(76), b"x" * 200])
def test_what_is_no_saved_guest_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(InfrastructureError, match="state"):
        read_saved(tmp_path / "state")


def test_the_vagrantfile_says_what_the_guest_is() -> None:
    text = vagrantfile(DEFINITION)
    for line in (
        'config.vm.box = "debian/bookworm64"',
        "config.ssh.port = 2222",
        'libvirt.driver = "qemu"',
        'libvirt.cpu_mode = "maximum"',
        "libvirt.memory = 1024",
    ):
        assert line in text
    assert "libvirt.kernel" not in text
    assert 'libvirt.driver = "kvm"' in vagrantfile(replace(DEFINITION, kvm=True, cpu="host"))


def test_the_users_vagrantfile_is_loaded_and_ours_is_around_it() -> None:
    own = replace(DEFINITION, own=Path("/my/Vagrant#{file}"), machine="web", box="")
    text = vagrantfile(own)
    assert 'load "/my/Vagrant\\#{file}"' in text
    assert "config.vm.box =" not in text
    assert text.index("load ") < text.index("Vagrant.configure") < text.index('define "web"')


@pytest.mark.parametrize("provider", ["virtualbox", "vmware_desktop", "hyperv", "proxmox"])
def test_another_provider_is_told_what_it_takes_and_nothing_of_libvirt(
    provider: ProviderName,
) -> None:
    text = vagrantfile(replace(DEFINITION, provider=provider))
    assert f"config.vm.provider :{provider} do |it|" in text
    assert "1024" in text
    assert 'config.vm.box = "debian/bookworm64"' in text
    assert "libvirt" not in text
    assert "config.ssh.port" not in text


def test_disks_of_a_machine_whose_name_anothers_begins_with_are_its_own(tmp_path: Path) -> None:
    names = ("r-one-1-0", "r-one-1-1", "r-one-1-1-0", "r-one-1-guest", "r-one-1-guest-1-0")
    for name in names:
        (tmp_path / f"{name}.img").touch()
    found = [[d.stem for d in disks_in(tmp_path, "r-one-1", f)] for f in ({}, {"machine": "guest"})]
    assert found == [["r-one-1-0", "r-one-1-1"], ["r-one-1-guest"]]


def test_without_network_only_ssh_goes_through() -> None:
    assert "restrict=on" in arguments_of(replace(DEFINITION, network=False))[1]
    assert "restrict=on" not in arguments_of(DEFINITION)[1]


SYNTAX = """There is a syntax error in the following Vagrantfile. The syntax error
message is reproduced below for convenience:

/my/Vagrantfile:3: syntax error, unexpected end-of-input
"""
UNUSABLE = """The provider 'virtualbox' that was requested to back the machine
'guest' is reporting that it isn't usable on this system. The
reason is shown below:

Vagrant could not detect VirtualBox! Make sure VirtualBox is installed.
"""
MISSING = """Bringing machine 'guest' up with 'libvirt' provider...
==> guest: Box 'nobody/nothing' could not be found. Attempting to find and install...
    guest: Box Provider: libvirt
    guest: Box Version: >= 0
The box 'nobody/nothing' could not be found or
could not be accessed in the remote catalog.
"""


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (SYNTAX, "/my/Vagrantfile:3: syntax error, unexpected end-of-input"),
        (
            MISSING,
            "The box 'nobody/nothing' could not be found or could not be accessed in the "
            "remote catalog.",
        ),
        ("", "it says nothing"),
        (UNUSABLE, "Vagrant could not detect VirtualBox! Make sure VirtualBox is installed."),
    ],
)
def test_vagrants_message_is_one_line(said: str, line: str) -> None:
    assert message(said.splitlines()) == line


@pytest.mark.parametrize(
    ("status", "said", "why"),
    [
        (127, "sh: 1: exec: sudo: not found", "it has no sudo, and joe, who logs in"),
        (1, "sudo: a password is required", "sudo wants a password of joe"),
        (1, "bash: /bin/sh: No such file or directory", "it has no /bin/sh"),
        (2, "", "no command can be run in it as root (status 2)"),
    ],
)
def test_a_guest_in_which_nothing_can_be_done_is_told_by_what_it_lacks(
    status: int, said: str, why: str
) -> None:
    assert why_not_root("joe", status, said).startswith(why)


def test_a_panic_is_found_on_the_console(tmp_path: Path) -> None:
    console = tmp_path / "console.log"
    assert (panic(console), last_lines(console)) == ("", ())
    console.write_bytes(b"\x1b[0;32mone\x1b[0m\r\n\r\n[  1.0] Kernel panic - not syncing: bad\r\n")
    assert panic(console) == "Kernel panic - not syncing: bad"
    assert last_lines(console, 2) == ("one", "[  1.0] Kernel panic - not syncing: bad")


def test_what_led_to_a_panic_is_told_and_what_led_to_none_is_not(tmp_path: Path) -> None:
    console = tmp_path / "console.log"
    console.write_text("Oops: 0002 [#1] SMP\n")
    assert panic(console) == ""
    console.write_text("Oops: 0002 [#1] SMP\nKernel panic - not syncing: Fatal exception\n")
    assert panic(console) == "Oops: 0002 [#1] SMP"


def test_only_what_the_product_runs_is_listed() -> None:
    loop = Process(100, 90, 300.0, "/bin/sh -c while IFS= read -r _dm_l; do eval; done")
    command = Process(101, 100, 65.0, "sh tests.sh")
    below = Process(102, 101, 60.0, "sleep 4711")
    others = [Process(1, 0, 480.0, "/sbin/init"), Process(90, 1, 360.0, "sshd")]
    assert of_commands([*others, below, command, loop]) == [below, command, loop]


def test_what_was_left_is_known_by_the_file_beside_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    labels = f'{{"{LABEL_RUN}": "r", "{LABEL_FOLDER}": "/f", "{LABEL_HOST}": "h"}}'
    for name, text in (
        ("distromatrix-a", f'{{"name": "distromatrix-a", "labels": {labels}, "created": 5}}'),
        ("distromatrix-b", '{"name": "distromatrix-b", "labels": {}}'),
        ("distromatrix-c", "no json"),
    ):
        (home.machines / name).mkdir()
        (home.machines / name / "machine.json").write_text(text)
    found = leftovers(home.machines)
    assert [(one.name, one.run, one.folder, one.host, one.created) for one in found] == [
        ("distromatrix-a", "r", "/f", "h", 5.0)
    ]


def test_what_is_being_made_does_not_look_unused_for_long(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    made = BoxTemplates(home, cast("Any", None), cast("Any", None))
    half = home.templates / "distromatrix-template-half"
    half.mkdir()
    with hold(half / "lock"):
        (found,) = made.list()
        assert (found.kept, is_alive(Path(found.folder))) == (False, True)
    (found,) = made.list()
    assert (found.kept, is_alive(Path(found.folder))) == (False, False)  # nobody makes it any more
    whole = home.templates / "distromatrix-template-old"
    whole.mkdir()
    (whole / DONE).write_text("{}")
    os.utime(whole / DONE, (5, 5))
    used = {one.name: one.created for one in made.list()}
    assert used.pop("distromatrix-template-old") == 5
    assert time.time() - used.pop("distromatrix-template-half") < 3600
    assert used == {}


def kept_ready(home: Home) -> BoxTemplates:
    """A box with a template on it."""
    home.make()
    (home.boxes / "distromatrix-template-box-1").mkdir()
    (home.boxes / "distromatrix-template-box-1/lock").touch()
    (home.templates / "distromatrix-template-1").mkdir()
    facts = '{"definition": {"box": "distromatrix-template-box-1"}}'
    (home.templates / "distromatrix-template-1" / DONE).write_text(facts)
    home.libvirtd = cast("Libvirtd", lambda *_: "")  # in which nothing runs
    return BoxTemplates(home, cast("Any", None), cast("Any", None))


def test_what_a_machine_stands_on_is_not_removed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    made = kept_ready(home)
    machine = home.machines / "distromatrix-a"
    machine.mkdir()
    (machine / "machine.json").write_text('{"template": "distromatrix-template-1"}')
    made.remove("template", "distromatrix-template-1")
    made.remove("box", "distromatrix-template-box-1")
    assert len(made.list()) == 2
    (machine / "machine.json").unlink()
    made.remove("template", "distromatrix-template-1")
    made.remove("box", "distromatrix-template-box-1")
    assert made.list() == ()


def test_a_box_is_made_once_for_a_key_and_anew_where_it_was_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def make(_rootfs: object, folder: Path, _host: str) -> None:
        assert [path.name for path in folder.iterdir()] == ["lock"]
        made.append(folder)

    monkeypatch.setattr("distromatrix.engines.vagrant.boxes.make_system", make)
    boxes = Boxes(Home(tmp_path), lambda *_: ())
    keys = [tmp_path / name for name in ("one", "two")]
    for key in keys:
        key.with_suffix(".pub").write_text(key.name)
    half = tmp_path / "boxes" / boxes.name("image", keys[0])
    half.mkdir(parents=True)
    (half / "box.img").touch()
    for key in (*keys, *keys):
        with boxes.hold("image", {}, key) as box:
            boxes.store.remove(box.name)
            assert box.exists()
    assert made == [tmp_path / "boxes" / boxes.name("image", key) for key in keys]


@pytest.mark.parametrize("shared", [True, False])
def test_what_is_in_use_or_being_made_is_not_removed(tmp_path: Path, shared: bool) -> None:
    home = Home(tmp_path)
    made = kept_ready(home)
    with hold(home.templates / "distromatrix-template-1/lock", shared=shared):
        made.remove("template", "distromatrix-template-1")
    assert (home.templates / "distromatrix-template-1").exists()
    made.remove("template", "distromatrix-template-1")
    with hold(home.boxes / "distromatrix-template-box-1/lock", shared=shared):
        made.remove("box", "distromatrix-template-box-1")
    assert [one.kind for one in made.list()] == ["box"]


def test_programs_of_ours_are_written_byte_by_byte(tmp_path: Path) -> None:
    content = bytes(range(256)) + b"%s\\n'"
    subprocess.run(["sh", "-ec", written(str(tmp_path / "p"), content)], check=True)
    assert (tmp_path / "p").read_bytes() == content
    assert os.access(tmp_path / "p", os.X_OK)
