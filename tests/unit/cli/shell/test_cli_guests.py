"""`distromatrix guests`: what it refuses before it asks any engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from distromatrix.cli.guests import command
from distromatrix.engines.vagrant.box import write_box
from distromatrix.errors import InfrastructureError, InputError, NothingSelectedError


def test_a_distro_that_is_not_there_is_told_with_near_names() -> None:
    done = CliRunner().invoke(command, ["build", "debian-21"])
    assert isinstance(done.exception, NothingSelectedError)
    assert "debian-12" in str(done.exception)


def test_a_distro_without_a_kernel_makes_no_box() -> None:
    done = CliRunner().invoke(command, ["build", "alpine-3.20"])
    assert isinstance(done.exception, InputError)
    assert "system:" in str(done.exception)


def test_nothing_is_removed_unasked() -> None:
    assert CliRunner().invoke(command, ["remove"]).exit_code == 2


@pytest.mark.parametrize("missing", ["box.img", "vmlinuz"])
def test_a_box_that_cannot_be_written_leaves_nothing(tmp_path: Path, missing: str) -> None:
    for name in {"box.img", "vmlinuz", "initrd", "key"} - {missing}:
        (tmp_path / name).write_bytes(b"x" * 512)
    to = tmp_path / "to" / "it.box"
    to.parent.mkdir()
    with pytest.raises(InfrastructureError, match=r"it\.box|vmlinuz|box\.img|qemu-img"):
        write_box("Title", tmp_path, tmp_path / "key", to)
    assert list(to.parent.iterdir()) == []
