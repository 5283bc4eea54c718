"""What a check-up advises is true of the file, and removes what is wrong and nothing else."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

import charlstm
from charlstm.checkup import repairs
from charlstm.config import TextConfig
from charlstm.text.sources import find_sources
from tests.checkup.test_findings import CLEAN, check, kinds, mended, paragraphs, the
from tests.conftest import PLAY


@pytest.mark.parametrize(("end", "name"), [("\n", "LF"), ("\r\n", "CRLF"), ("\r", "CR")])
def test_a_last_line_without_an_end_does_not_mix_line_ends(
    tmp_path: Path, end: str, name: str
) -> None:
    content = CLEAN.removesuffix("\n").replace("\n", end)
    (tmp_path / "one.txt").write_bytes(content.encode())
    (tmp_path / "two.txt").write_bytes((content + end).encode())
    found = charlstm.check([tmp_path / "one.txt", tmp_path / "two.txt"])
    assert found.line_ends == {name: 2 * content.count(end) + 1}
    assert "line-ends" not in kinds(found)
    assert check(content).line_ends == {name: content.count(end)}
    mixed = check(f"{content}a\r\nb\rc\nd")
    assert {"LF", "CR", "CRLF"} == mixed.line_ends.keys()
    assert "line-ends" in kinds(mixed)


def test_copies_of_a_play_are_removed_without_its_names(tmp_path: Path) -> None:
    play = PLAY.read_text("utf-8")
    clean = mended(tmp_path, "twice.txt", (play + play).encode(), "repeated-lines")
    assert clean.startswith(play[:5000])
    assert clean.count("MARTHA:\n") == 2 * play.count("MARTHA:\n")
    short = the(check("Rose: a\n\n" * 500), "repeated-lines").mend
    assert "headings and names among them" in short


def test_a_copy_of_a_whole_file_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    text = paragraphs(300)
    (folder / "a.txt").write_text(text, "utf-8")
    (folder / "b[1].txt").write_text(text, "utf-8")
    finding = the(charlstm.check(folder), "repeated-passages")
    assert finding.mend == "--exclude 'b[[]1].txt' skips it."
    assert "repeated-passages" not in kinds(charlstm.check(folder, exclude="b[[]1].txt"))
    finding = the(charlstm.check([folder / "a.txt", folder / "b[1].txt"]), "repeated-passages")
    assert finding.mend == f"Omit {folder / 'b[1].txt'}."


@pytest.mark.parametrize("codec", ["latin-1", "cp1252"])
def test_text_misread_with_control_characters_is_repaired(tmp_path: Path, codec: str) -> None:
    right = CLEAN + "\u201cna\u00efve\u201d caf\u00e9, Stra\u00dfe, \u00dd \u00cd\n" * 5
    # Browsers read the bytes that cp1252 does not define as the control characters of Latin-1.
    wrong = "".join(
        chr(byte) if codec == "latin-1" else bytes([byte]).decode(codec, "ignore") or chr(byte)
        for byte in right.encode()
    )
    assert re.search("[\x80-\x9f]", wrong)
    assert "it stops elsewhere" not in the(check(wrong), "misread").mend
    assert mended(tmp_path, "wrong.txt", wrong.encode(), "misread") == right
    assert "it stops elsewhere" in the(check(wrong + "\u4e00"), "misread").mend


def test_names_of_files_in_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-x.txt").write_bytes(b"a\n")
    (tmp_path / "-x.gz").write_bytes(gzip.compress(b"a\n"))
    (tmp_path / "a\tb.txt").write_bytes(b"a\n")
    commands = [
        repairs.pipe(source, TextConfig().encoding, "cat")
        for source in find_sources(["-x.txt", "-x.gz", "a\tb.txt"])
    ]
    assert commands == [
        "cat < ./-x.txt > clean.txt",
        "zcat ./-x.gz | cat > clean.txt",
        "cat < FILE > clean.txt",
    ]


def test_characters_without_a_name_in_unicode() -> None:
    found = check("a\tb")
    assert found.rare[0].to_json()["name"] == "TAB"
    assert not {"\n", "\r"} & {one.character for one in found.rare}
