"""A fault of ours ends those who wait for cells, and says where it arose."""

from __future__ import annotations

import pytest

from distromatrix.testing.bench.on_demand import _told


def test_a_fault_of_ours_is_told_with_its_place() -> None:
    def wrong() -> None:
        raise OSError(14, "Bad address")

    with pytest.raises(OSError) as caught:
        wrong()
    said = _told(caught.value)
    assert said.startswith("OSError(14, 'Bad address') (test_ondemand_told.py:")
    assert " wrong < test_ondemand_told.py:" in said
