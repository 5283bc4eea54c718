"""Whether other programs keep the machine busy."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from charlstm.training import load
from charlstm.training.load import CpuUse, busy_notice, used_by_others


@pytest.mark.parametrize(
    ("others", "processors", "threads", "busy"),
    [
        (None, 2, 2, False),
        (0.0, 2, 2, False),
        (0.3, 2, 2, False),  # the system's own work
        (1.0, 2, 2, True),
        (1.9, 2, 1, True),
        (1.0, 2, 1, False),  # there is a processor for each
        (6.0, 16, 8, False),
        (12.0, 16, 8, True),
        (0.4, 1, 8, False),
    ],
)
def test_busy(others: float | None, processors: int, threads: int, busy: bool) -> None:
    notice = busy_notice(others, processors, threads)
    assert bool(notice) == busy
    assert len(notice.splitlines()) == busy


def test_what_others_use() -> None:
    before = CpuUse(at=10.0, system=100.0, process=1.0, load=0.7)
    after = CpuUse(at=12.0, system=103.5, process=2.5, load=1.5)
    assert used_by_others(before, after) == 1.0
    assert used_by_others(before, CpuUse(12.0, 100.5, 2.0, 0.7)) == 0  # ticks are rounded
    # Where the time is not known, or too short: the load before this program began.
    assert used_by_others(before, CpuUse(12.0, None, 2.5, 1.5)) == 0.7
    assert used_by_others(CpuUse(10.0, None, 1.0, None), CpuUse(12.0, None, 2.5, 1.5)) is None
    assert used_by_others(before, CpuUse(10.1, 200.0, 2.5, 1.5)) == 0.7


@pytest.mark.parametrize("content", [None, "", "cpu  1 2\n", "cpu a b c d e f g\n"])
def test_where_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.setattr(load, "_STAT", tmp_path / "stat")
    monkeypatch.delattr("os.getloadavg")
    if content is not None:
        (tmp_path / "stat").write_text(content)
    assert used_by_others(CpuUse.now(), CpuUse.now()) is None


@pytest.mark.skipif(sys.platform != "linux", reason="others have no /proc/stat")
def test_another_program_is_seen_and_this_one_is_not() -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        before = CpuUse.now()
        time.sleep(0.6)
        after = CpuUse.now()
    finally:
        for process in busy:
            process.kill()
            process.wait()
    others = used_by_others(before, after)
    assert others is not None
    assert others > 0.3
    # A process that works alone is not another one, whatever else goes on here.
    alone = CpuUse(after.at, after.system, after.process + (others * (after.at - before.at)), 0.0)
    assert used_by_others(before, alone) == pytest.approx(0.0, abs=0.01)
