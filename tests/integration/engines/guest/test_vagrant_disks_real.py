"""The disk of a box from elsewhere: what leads to another file of this host is not a guest's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from distromatrix.engines.vagrant.vagrantfile import DISKS

pytestmark = [pytest.mark.engine, pytest.mark.guest]

# The plugin's class, as far as ours stands before it.
STUB = """require "stringio"
$LOADED_FEATURES << "vagrant-libvirt/action/handle_box_image.rb"
module Kernel
  alias_method :really, :require
  def require(name) = name.start_with?("vagrant-libvirt") || really(name)
end
module Vagrant; module Errors; class VagrantError < StandardError; end; end; end
module VagrantPlugins; module ProviderLibvirt; module Action
  class HandleBoxImage
    def send_box_image(*) = puts("sent")
  end
end; end; end
%s
it = VagrantPlugins::ProviderLibvirt::Action::HandleBoxImage.new
begin
  it.send_box_image({}, nil, ARGV[0], {format: ARGV[1]})
rescue Vagrant::Errors::VagrantError => error
  puts error.message
end
"""


def qemu_img(*words: str, within: Path) -> None:
    subprocess.run(["qemu-img", *words], cwd=within, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("kind", "form", "said"),
    [
        ("plain", "qcow2", "sent"),
        ("raw", "raw", "sent"),
        ("backed", "qcow2", "stands on another file"),
        ("backed", "raw", "stands on another file"),
        ("data", "qcow2", "stands on another file"),
        ("link", "raw", "not a regular file"),
        ("raw", "vmdk", "neither qcow2 nor raw"),
    ],
)
def test_a_boxs_disk_that_leads_to_a_file_of_the_host_is_refused(
    tmp_path: Path, kind: str, form: str, said: str
) -> None:
    (tmp_path / "secret").write_bytes(b"secret".ljust(1 << 16))
    qemu_img("create", "-f", "qcow2", "plain", "1M", within=tmp_path)
    qemu_img("create", "-f", "qcow2", "-b", "secret", "-F", "raw", "backed", within=tmp_path)
    data = ("-o", "data_file=other,data_file_raw=on")
    qemu_img("create", "-f", "qcow2", *data, "data", "1M", within=tmp_path)
    (tmp_path / "raw").write_bytes(bytes(1 << 16))
    (tmp_path / "link").symlink_to("secret")
    (tmp_path / "it.rb").write_text(STUB % DISKS)
    command = ["ruby", "it.rb", str(tmp_path / kind), form]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said in done.stdout, done.stderr
