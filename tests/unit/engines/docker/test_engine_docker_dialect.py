"""What Podman's ways make of names, containers, labels and archives."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import Any

import pytest

from distromatrix.engines.contract import MachineSpec
from distromatrix.engines.docker import dialect as docker_dialect
from distromatrix.engines.docker.dialect import DOCKER, dialect_of, own_limits
from distromatrix.engines.docker.images import _image, _label_changes
from distromatrix.engines.docker.spec import Limits, Overlay, create_body
from distromatrix.engines.docker.staging.files import without_padding
from distromatrix.engines.docker.staging.transfer import _unpacked
from distromatrix.errors import CannotStartError, InfrastructureError

PODMAN = dialect_of({"Libpod-Api-Version": "4.3.1"})
VIEW = Overlay(lower="/v/base", upper="/v/1/upper", work="/v/1/work", stage="s")


def _body(dialect: docker_dialect.Dialect, **limits: Any) -> dict[str, Any]:
    host = Limits(cpus=2, apparmor=False, dialect=dialect, **limits)
    return create_body(MachineSpec(name="distromatrix-x", image="i"), host, VIEW)


def test_an_engine_is_known_by_what_it_answers_a_ping_with() -> None:
    assert (PODMAN.product, PODMAN.version) == ("Podman", "4.3.1")
    assert dialect_of({"Api-Version": "1.41"}) is DOCKER


def test_our_tags_are_podmans_own_names_and_come_back_as_ours() -> None:
    assert PODMAN.name("distromatrix/base:x") == "localhost/distromatrix/base:x"
    assert PODMAN.name("sha256:1") == "sha256:1"
    assert PODMAN.tag("localhost/distromatrix/base:x") == "distromatrix/base:x"
    assert PODMAN.tag("docker.io/library/debian:12") == ""
    assert DOCKER.name("distromatrix/base:x") == DOCKER.tag("distromatrix/base:x")
    found = {
        "Id": "1",
        "Created": "2026-01-01T00:00:00Z",
        "RepoTags": ["docker.io/library/debian:12", "localhost/distromatrix/base:x"],
    }
    assert _image(found, "1", PODMAN).tag == "distromatrix/base:x"
    assert _image(found, "distromatrix/base:x", PODMAN).tag == "distromatrix/base:x"


def test_a_view_is_an_overlay_in_which_folders_can_be_renamed() -> None:
    (mount,) = _body(DOCKER)["HostConfig"]["Mounts"]
    options = mount["VolumeOptions"]["DriverConfig"]["Options"]
    assert (
        options["o"]
        == "lowerdir=/v/base,upperdir=/v/1/upper,workdir=/v/1/work,redirect_dir=on,index=on"
    )


def test_podmans_machines_know_no_more_variables_and_outlive_their_stdin() -> None:
    assert _body(PODMAN)["Cmd"][-1].startswith("unset container TERM\n")
    assert _body(PODMAN)["Cmd"][-1].endswith("while sleep 86400; do :; done")
    assert "sleep" not in _body(DOCKER)["Cmd"][-1]
    assert "Healthcheck" not in _body(PODMAN)
    assert _body(DOCKER)["Healthcheck"] == {"Test": ["NONE"]}


def test_podman_is_not_asked_to_open_all_of_proc_sys() -> None:
    spec = MachineSpec(name="distromatrix-x", image="i", privileges=("sysctl",))
    with pytest.raises(CannotStartError, match="Podman cannot give the privilege 'sysctl'"):
        create_body(spec, Limits(cpus=2, apparmor=False, dialect=PODMAN))


def test_limits_are_told_only_where_they_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _body(PODMAN)["HostConfig"]["Ulimits"] == []
    told = _body(PODMAN, resources=(("nofile", 1, 2),))["HostConfig"]["Ulimits"]
    assert told == [{"Name": "nofile", "Soft": 1, "Hard": 2}]
    monkeypatch.setattr(docker_dialect, "_root_may_raise", lambda: True)
    assert own_limits() == ()
    monkeypatch.setattr(docker_dialect, "_root_may_raise", lambda: False)
    limits = {name: (soft, hard) for name, soft, hard in own_limits()}
    assert set(limits) == {"nofile", "nproc"}
    assert all(0 < soft <= hard for soft, hard in limits.values())


def test_podman_5_reads_a_dockerfile_where_it_commits() -> None:
    newer = dialect_of({"Libpod-Api-Version": "5.4.2"})
    assert (newer.imports_dockerfile, newer.commits_dockerfile) == (False, True)
    assert (PODMAN.imports_dockerfile, PODMAN.commits_dockerfile) == (False, False)
    assert (DOCKER.imports_dockerfile, DOCKER.commits_dockerfile) == (True, True)


def test_a_label_is_quoted_as_its_reader_reads_it() -> None:
    odd = {"k": 'a "b" \\ $c\nd'}
    assert _label_changes(odd, True) == ('LABEL "k"="a \\"b\\" \\\\ \\$c d"',)
    assert _label_changes(odd, False) == ('LABEL "k"="a "b" \\ $c d"',)


def _tar(format: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name, content in (("a", b"x" * 1000), ("n" * 200, bytes(3000)), ("z", b"")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("size", [1, 700, 1 << 20])
def test_an_archive_ends_where_its_end_is_marked(format: int, size: int) -> None:
    data = _tar(format)
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    cut = b"".join(without_padding(pieces))
    assert cut == b"".join(without_padding(data)) == b"".join(without_padding(io.BytesIO(data)))
    assert data.startswith(cut)
    assert len(cut) < len(data)
    assert cut.endswith(bytes(1024))
    with tarfile.open(fileobj=io.BytesIO(cut)) as tar:
        assert [(m.name, m.size) for m in tar] == [("a", 1000), ("n" * 200, 3000), ("z", 0)]


def test_a_packed_stream_is_unpacked_for_those_who_cannot() -> None:
    data = bytes(range(256)) * 100
    packed = gzip.compress(data)
    assert b"".join(_unpacked(iter([packed[:10], packed[10:]]))) == data
    assert b"".join(_unpacked(iter([data[:10], data[10:]]))) == data
    with pytest.raises(InfrastructureError, match="cannot load images"):
        b"".join(_unpacked(iter([packed[:20] + b"\xff" * 400])))
