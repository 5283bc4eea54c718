"""The progress of `fetch`: one bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import pty
from pathlib import Path

import pytest

from charlstm.cli.transfer import transferring
from tests.conftest import read_terminal, start_program
from tests.download.server import File, serving


def test_a_bar_is_shown_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    data = b"the light is low\n" * 20_000
    primary, secondary = pty.openpty()
    with serving() as server:
        server.files["/x.txt"] = File(data, etag='"one"', cut=[100_000], stall=True)
        child = start_program(
            "fetch", f"{server.url}/x.txt", "--timeout", 0.7, cwd=tmp_path,
            stderr=os.ttyname(secondary),
        )  # fmt: skip
        begun = read_terminal(primary, until=b"downloading http")  # it has the terminal open
        os.close(secondary)
        shown = (begun + read_terminal(primary)).decode()
        assert child.wait() == 0
    os.close(primary)
    assert "trying again in 1 s" in shown
    assert "downloading: " in shown
    assert "continuing at 100,000 bytes" in shown
    assert "/340k" in shown
    assert child.output == b"corpora/x.txt\n"


def test_lines_are_shown_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    with transferring(lambda: now) as view:
        for second in range(25):
            now = float(second)
            view.show("downloading", second * 1000, 50_000 if second < 15 else None)
        view.say("unpacked")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["downloading: 10,000 of 50,000 bytes", "downloading: 20,000 bytes", "unpacked"]
