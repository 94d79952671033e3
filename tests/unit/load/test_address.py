"""Where a cluster is: addresses and scheduler files, and which of them may get secrets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distromatrix.errors import InputError
from distromatrix.load.address import address_of, require_safe


@pytest.mark.parametrize("text", ["tcp://h:1", "tls://192.0.2.1:65535", "tls://[2001:db8::1]:80"])
def test_addresses_stay_as_they_are(text: str) -> None:
    assert address_of(text) == text


@pytest.mark.parametrize(
    "text", ["http://h:1", "tcp://h", "tcp://h:0", "tls://h:65536", "tcp://a b:1", "tcp://:1"]
)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not the address of a cluster") as caught:
        address_of(text)
    assert "\n" not in str(caught.value).strip()


def test_a_scheduler_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "scheduler.json"
    path.write_text(json.dumps({"address": "tls://h:8786", "workers": {}, "id": "x"}))
    assert address_of(str(path)) == "tls://h:8786"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a scheduler file"),
        (b"{}", "is not a scheduler file"),
        (b"[]", "is not a scheduler file"),
        (b"5", "is not a scheduler file"),
        (b"\xff\xfe", "is not a scheduler file"),
        (b"[" * 100_000, "is not a scheduler file"),
        (b'{"address": 5}', "names an address that is not supported: '5'"),
        (b'{"address": "ucx://h:1"}', "names an address that is not supported"),
        (b'{"address": "\\u001b[2J"}', r"not supported: '\\x1b"),
    ],
)
def test_what_is_no_scheduler_file_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "scheduler.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        address_of(str(path))
    assert str(path) in str(caught.value)


def test_a_scheduler_file_that_is_missing_or_a_folder_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InputError, match="the scheduler file cannot be read"):
            address_of(str(path))


@pytest.mark.parametrize(
    "address", ["tls://192.0.2.1:1", "tcp://127.0.0.1:1", "tcp://127.9.9.9:1", "tcp://[::1]:1"]
)
def test_what_is_encrypted_or_stays_here_is_safe(address: str) -> None:
    require_safe([address, "tcp://localhost:1"])


@pytest.mark.parametrize(
    "address", ["tcp://192.0.2.1:1", "tcp://localhost.evil.example:1", "tcp://[2001:db8::1]:1"]
)
def test_secrets_go_nowhere_else_in_the_clear(address: str) -> None:
    with pytest.raises(InputError, match=r"is not encrypted.*--insecure-cluster"):
        require_safe(["tls://h:1", address])
