"""A cell's log: streamed, bounded, masked."""

import tracemalloc
from pathlib import Path

import pytest

from distromatrix.collect import log as log_module
from distromatrix.collect.log import CellLog, Masker

MIB = 1024 * 1024


def test_output_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    log = CellLog(tmp_path / "log.txt")
    log.write(b"raw \x1b[31m \xff\n")
    assert (tmp_path / "log.txt").read_bytes() == b"raw \x1b[31m \xff\n"
    log.close()


def test_a_secret_cut_in_two_by_chunks_is_masked(tmp_path: Path) -> None:
    with CellLog(tmp_path / "log.txt", Masker(("s3cret",))) as log:
        log.write(b"a s3c")
        log.write(b"ret b")
    assert (tmp_path / "log.txt").read_bytes() == b"a *** b"


def test_beyond_the_limit_the_end_is_kept_and_the_gap_is_told(tmp_path: Path) -> None:
    seen: list[str] = []
    masker = Masker(("s3cret",))
    with CellLog(tmp_path / "log.txt", masker, seen.append, limit=1000) as log:
        log.write(b"first\n" + b"a" * 1000 + b"\n")
        for number in range(60_000):
            log.write(b"line %06d with s3cret in it, and so on and on\n" % number)
        log.note("--- timed out")
        before = log.tail(2)
    text = (tmp_path / "log.txt").read_text()
    assert text.startswith("first\n")
    assert "MiB of output left out here\nline " in text
    assert text.endswith("line 059999 with *** in it, and so on and on\n--- timed out\n")
    assert len(text) < 1.1 * MIB
    assert "s3cret" not in text
    assert not any("s3cret" in line for line in seen)
    assert (
        before
        == log.tail(2)
        == (
            "line 059999 with *** in it, and so on and on",
            "--- timed out",
        )
    )


def test_a_secret_across_the_limit_is_masked(tmp_path: Path) -> None:
    with CellLog(tmp_path / "log.txt", Masker(("s3cret",)), limit=10) as log:
        log.write(b"0123456789s3c")
        log.write(b"ret.")
    assert (tmp_path / "log.txt").read_bytes() == b"0123456789***."


@pytest.mark.parametrize("offset", range(8))
def test_a_secret_at_the_edge_of_what_is_left_out_does_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    monkeypatch.setattr(log_module, "_KEPT_END", 30)
    with CellLog(tmp_path / "log.txt", Masker(("s3cret",)), limit=1) as log:
        log.write(b"start\n")
        log.write(b"s3cret" * 50 + b"." * offset)
    assert not any(part in (tmp_path / "log.txt").read_text() for part in ("s3c", "cret", "3cr"))


def test_memory_does_not_grow_with_the_output(tmp_path: Path) -> None:
    chunk = b"y" * 65_535 + b"\n"
    with CellLog(tmp_path / "log.txt", limit=MIB) as log:
        tracemalloc.start()
        for _ in range(1600):  # 100 MiB
            log.write(chunk)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 * MIB
    assert (tmp_path / "log.txt").stat().st_size < 3 * MIB


def test_notes_begin_a_line_of_their_own(tmp_path: Path) -> None:
    with CellLog(tmp_path / "log.txt", Masker(("s3cret",))) as log:
        log.write(b"no newline")
        log.note("restore s3cret\x1b")
    assert (tmp_path / "log.txt").read_text() == "no newline\n--- restore ***\\x1b\n"


def test_the_tail_is_printable_and_bounded(tmp_path: Path) -> None:
    with CellLog(tmp_path / "log.txt") as log:
        log.write(b"\n" * 5 + b"\x1b[2Jone\n" + b"x" * 10_000 + b"\n\n")
    one, long = log.tail(5)
    assert one == "\\x1b[2Jone"
    assert len(long) == 500


def test_the_last_line_is_told_at_most_a_few_times_a_second(tmp_path: Path) -> None:
    seen: list[str] = []
    with CellLog(tmp_path / "log.txt", None, seen.append) as log:
        for number in range(100):
            log.write(b"line\x07 %d\nhalf" % number)
    assert seen[0] == "half"
    assert len(seen) < 50


def test_a_log_is_never_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "log.txt").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        CellLog(tmp_path / "log.txt")
    assert not (tmp_path / "elsewhere").exists()
