"""What lies beside the artifacts is read, too, and so bounded."""

from collections.abc import Iterator
from pathlib import Path
from tarfile import BLOCKSIZE, TarInfo

from distromatrix.collect.artifacts import extract


def test_a_huge_file_beside_the_artifacts_is_not_read_to_its_end(tmp_path: Path) -> None:
    read = 0

    def chunks() -> Iterator[bytes]:
        nonlocal read
        member = TarInfo("out/huge")
        member.size = 4 << 40
        yield member.tobuf()
        while True:
            read += 64 * BLOCKSIZE
            assert read < 64 << 20
            yield bytes(64 * BLOCKSIZE)

    extracted = extract(chunks(), tmp_path / "to", limit_bytes=1 << 20)
    assert extracted.files == 0
    assert any("the rest was left out" in line for line in extracted.refused)
