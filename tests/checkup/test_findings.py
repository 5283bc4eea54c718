"""Findings: each has a text that has it, and plain texts have none."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

import charlstm
from charlstm.checkup.findings import Finding
from charlstm.checkup.report import Checkup
from charlstm.config import TextConfig
from charlstm.config.text import separator_of
from charlstm.text.corpus import load_corpus
from charlstm.text.folders import DEFAULT_GLOB
from charlstm.text.sources import find_sources
from tests.conftest import PLAY

# Short, as the end of a text of more than 10,000 characters is compared with the rest.
CLEAN = PLAY.read_text("utf-8")[:9_000].rpartition("\n")[0] + "\n"


def check(text: str, **options: Any) -> Checkup:
    return charlstm.check(text=text, **options)


def kinds(found: Checkup) -> set[str]:
    return {finding.kind for finding in found.findings}


def the(found: Checkup, kind: str) -> Finding:
    (finding,) = [finding for finding in found.findings if finding.kind == kind]
    return finding


def with_words(*words: str, every: int = 40) -> str:
    """The clean text with words between its lines."""
    lines = CLEAN.splitlines(keepends=True)
    for number, word in enumerate(words * (len(lines) // every // len(words) + 1)):
        if number * every < len(lines):
            lines[number * every] = f"{word}\n{lines[number * every]}"
    return "".join(lines)


def paragraphs(count: int, seed: int = 0) -> str:
    """Lines of made-up words, none of which repeats."""
    draw = random.Random(seed)
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 9))) for _ in range(500)]
    return "".join(" ".join(draw.choices(words, k=9)) + "\n" for _ in range(count))


def test_clean_texts_have_no_findings() -> None:
    for text in (CLEAN, PLAY.read_text("utf-8"), paragraphs(2000)):
        assert check(text).findings == []


@pytest.mark.parametrize(
    "text",
    [
        "Der Fluß – er fließt »groß« und „Spaß“ süß über Öl. " * 5 + "\n",
        "« L’été », dit-il, « où êtes-vous allé\u00a0» ? Ça, à côté\u00a0! " * 5 + "\n",
        "Привет, мир! Я «И» – это Я… Ёлка №5, РСФСР. " * 5 + "\n",
        "葡萄美酒夜光杯，欲饮琵琶马上催。「你好」……——“好” " * 5 + "\n",
        "می‌خواهم כתב עברית\u200f (ab). हिन्दी में क्‍ष 👩‍👩‍👧 ok " * 5 + "\n",
        "Über Ärger, Ångström, señor, naïve café, coöperate, Ñandú Ã Â â. " * 5 + "\n",
    ],
)
def test_texts_of_other_languages_are_in_order(text: str) -> None:
    bad = {"misread", "invisible", "direction", "replacement", "controls", "normal-form"}
    assert not bad & kinds(check(unicodedata.normalize("NFC", text)))


@pytest.mark.parametrize("codec", ["cp1252", "cp1251", "koi8-r", "mac-roman", "cp437"])
def test_utf_8_that_was_read_as_something_else(codec: str) -> None:
    text = with_words("caf\u00e9", "na\u00efve", "\u201cquoted\u201d")
    if codec in ("cp1251", "koi8-r"):
        text = with_words("\u0441\u043b\u043e\u0432\u043e", "\u043c\u0438\u0440")
    wrong = text.encode().decode(codec, "replace").replace("\ufffd", "")
    finding = the(check(wrong), "misread")
    assert codec in finding.what
    assert f"iconv -f utf-8 -t {'macintosh' if codec == 'mac-roman' else codec}" in finding.mend


def test_what_was_misread_is_shown() -> None:
    finding = the(check(CLEAN + "caf\u00c3\u00a9 caf\u00c3\u00a9\nna\u00c3\u00afve\n"), "misread")
    assert "'\u00c3\u00a9' is probably '\u00e9'" in finding.what
    assert finding.place is not None
    assert finding.place.line == CLEAN.count("\n") + 1


def test_characters_that_cannot_be_seen() -> None:
    text = CLEAN + "soft\u00adhyphen zero\u200bwidth\n"
    assert "U+00AD once from text:" in the(check(text), "invisible").what
    assert kinds(check(text)) == {"invisible"}
    assert kinds(check(CLEAN + "left\u202eright\u202c\n")) == {"direction"}
    # A left-to-right mark is ordinary only where something runs to the left.
    assert kinds(check(CLEAN + "a\u200eb\n")) == {"direction"}
    assert kinds(check(CLEAN + "\u05d0\u200eb\n")) == set()
    assert kinds(check(CLEAN + "lost \ufffd\n")) == {"replacement"}
    assert kinds(check(CLEAN + "\x1b[31mred\x1b[0m\n")) == {"controls"}
    assert kinds(check(CLEAN + "C1 \x92\n")) == {"controls"}
    assert kinds(check(CLEAN + "page\f\n\ttab\n")) == set()


def test_rare_characters() -> None:
    text = CLEAN + "".join(map(chr, range(0x4E00, 0x4E20))) + "\n"
    finding = the(check(text), "rare")
    assert "--min-count 5" in finding.mend
    assert "rare" not in kinds(check(text, min_count=5))
    assert check(text, min_count=5).vocab_size < check(text).vocab_size - 30


def test_normal_forms() -> None:
    text = with_words("caf\u00e9", "\u00fcber")
    assert kinds(check(text)) == set()
    finding = the(check(unicodedata.normalize("NFD", text)), "normal-form")
    assert "first at text:1" in finding.what


def test_lines() -> None:
    windows = CLEAN.replace("\n", "\r\n")
    assert kinds(check(windows)) == set()
    found = check(windows + "mac\runix\n")
    finding = the(found, "line-ends")
    assert found.line_ends == {"CRLF": CLEAN.count("\n"), "CR": 1, "LF": 1}
    assert finding.mend.startswith("They are read as LF, or convert them")
    assert (
        "Omit --keep-newlines" in the(check(windows + "a\n", keep_newlines=True), "line-ends").mend
    )
    assert found.num_chars == len(CLEAN) + len("mac\runix\n")
    assert kinds(check(CLEAN.replace(".\n", ".  \n"))) == {"trailing-space"}
    long = "word " * 3000
    found = check(CLEAN + long + "\n" + CLEAN[:200])
    assert found.longest_line == len(long)
    assert found.longest_at.line == CLEAN.count("\n") + 1
    assert "long-lines" in kinds(found)


def test_markup(tmp_path: Path) -> None:
    assert "pandoc" in the(check(f"<html><body>{CLEAN}</body></html>\n"), "markup").mend
    assert "sed" in the(check(f"<?xml version='1.0'?>\n<a>{CLEAN}</a>\n"), "markup").mend
    assert kinds(check(with_words("Tom &amp; Ann", "&quot;no&quot;"))) == {"entities"}
    assert kinds(check(with_words("R&D; AT&T;"))) == set()


HEAD = "Copyright (c) 2001 by nobody\nAll rights reserved.\nNo warranty of any kind\n\n"
FOOT = "\nThe licence of this text:\nDistribution needs permission.\nCopyright: nobody\n"


def test_licences() -> None:
    finding = the(check(HEAD + CLEAN), "licence")
    assert "lines 1 to 3 of text" in finding.what
    assert "sed 1,3d" in finding.mend
    lines = CLEAN.count("\n")
    both = the(check(HEAD + CLEAN + FOOT), "licence")
    assert f"lines 1 to 3 and lines {lines + 6:,} to {lines + 8:,} of text" in both.what
    marked = f"A note\n*** START OF THE TEXT\n{CLEAN}*** END OF THE TEXT\nmore\n"
    assert f"'1,2d; {lines + 3},$d'" in the(check(marked), "licence").mend
    # A text that is about such things has no front matter.
    assert "licence" not in kinds(check(with_words(*HEAD.splitlines(), every=4)))
    assert "licence" not in kinds(check(HEAD))


def test_documents(tmp_path: Path) -> None:
    draw = random.Random(1)
    text = "".join(
        "".join(draw.choices("abcdei", k=draw.randint(4, 16))) + "\n" for _ in range(300)
    )
    assert "--documents line" in the(check(text), "documents").mend
    assert "documents" not in kinds(check(text, documents="none"))
    fortunes = "".join(f"{line}\n%\n" for line in paragraphs(60).splitlines())
    finding = the(check(fortunes), "documents")
    assert "the line '%' occurs 60 times, first at text:2" in finding.what
    value = finding.mend.split("'")[1]
    assert separator_of(value) == "\n%\n"
    assert check(fortunes, documents=value).documents is not None
    for number in range(25):
        (tmp_path / f"{number}.txt").write_text(paragraphs(5, number))
    found = charlstm.check(tmp_path)
    assert "--documents file" in the(found, "documents").mend
    documents = charlstm.check(tmp_path, documents="file")
    assert documents.documents is not None
    assert documents.documents.count == 25
    assert documents.split == "documents"


def test_copies(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(CLEAN)
    (tmp_path / "sub [1]").mkdir()
    (tmp_path / "sub [1]" / "b.txt").write_text(CLEAN)
    finding = the(charlstm.check(tmp_path), "copies")
    assert finding.mend.startswith("--exclude 'sub [[]1]/b.txt'")
    assert charlstm.check(tmp_path, exclude=("sub [[]1]/b.txt",)).findings == []
    twice = charlstm.check([tmp_path / "a.txt"] * 2)
    assert "twice" in kinds(twice)
    assert "copies" not in kinds(twice)


def test_repetition() -> None:
    repeated = "".join(f"{line}\n" * 3 for line in paragraphs(200).splitlines())
    found = check(repeated)
    assert found.repeated_lines == pytest.approx(2 / 3)
    assert found.repeated_line is not None
    assert found.repeated_line[0] == 3
    assert "occurs 3 times" in the(found, "repeated-lines").what
    text, copied = paragraphs(1000), paragraphs(60, 5)
    finding = the(check(text + copied + paragraphs(300, 9) + copied), "repeated-passages")
    assert "at text:1001 and text:1361" in finding.what


def test_an_end_that_differs() -> None:
    text = PLAY.read_text("utf-8")[:30_000]
    finding = the(check(text + paragraphs(60).upper()), "tail")
    assert "--split blocks" in finding.mend
    assert "chooses it here" in finding.mend
    assert "chooses" not in the(check(text + paragraphs(60).upper(), split="tail"), "tail").mend
    assert "tail" not in kinds(check(text + paragraphs(60).upper(), split="blocks"))


# --- The commands do what they say ---


def mended(folder: Path, file: str, data: bytes, kind: str, **options: Any) -> str:
    """Run a finding's command on a file; the finding is gone afterwards."""
    (folder / file).write_bytes(data)
    finding = the(charlstm.check(folder / file, **options), kind)
    command = finding.mend.partition(": ")[2]
    command = command.replace("python3", sys.executable, 1)
    subprocess.run(["sh", "-c", command], cwd=folder, check=True)
    assert kind not in kinds(charlstm.check(folder / "clean.txt"))
    return (folder / "clean.txt").read_bytes().decode()


ACCENTS = with_words("caf\u00e9", "na\u00efve", "\u201cno\u201d")


@pytest.mark.parametrize(
    ("kind", "wrong", "right"),
    [
        ("misread", ACCENTS.replace("\u201d", "!").encode().decode("cp1252"),
         ACCENTS.replace("\u201d", "!")),
        ("replacement", CLEAN + "a\ufffdb\n", CLEAN + "ab\n"),
        ("controls", CLEAN + "\x1b[1;31mred\x1b[0m\x07\n", CLEAN + "red\n"),
        ("invisible", CLEAN + "a\u00ad\u200bb\n", CLEAN + "ab\n"),
        ("direction", CLEAN + "a\u202eb\n", CLEAN + "ab\n"),
        ("normal-form", unicodedata.normalize("NFD", ACCENTS), ACCENTS),
        ("trailing-space", CLEAN.replace(".\n", ". \t\n"), CLEAN),
        ("line-ends", CLEAN.replace("\n", "\r\n") + "a\rb\n", CLEAN + "a\nb\n"),
        ("entities", with_words("Tom &amp; Ann", "&#233;"), with_words("Tom & Ann", "\u00e9")),
        ("licence", HEAD + CLEAN + FOOT, CLEAN),
        ("repeated-passages", CLEAN + paragraphs(99) + CLEAN, None),
        ("repeated-lines", "".join(f"{line}\n" * 3 for line in paragraphs(99).splitlines()),
         paragraphs(99)),
        ("repeated-lines", "a b\n\n" * 500, "a b" + "\n" * 500),
        ("long-lines", "word " * 3000 + "\n" + paragraphs(99), None),
        ("long-lines", paragraphs(99) + "x" * 20_001 + "\nend\n",
         paragraphs(99) + ("x" * 10_000 + "\n") * 2 + "x\nend\n"),
    ],
)  # fmt: skip
def test_commands_mend(tmp_path: Path, kind: str, wrong: str, right: str | None) -> None:
    result = mended(tmp_path, "it's.txt", wrong.encode(), kind)
    if right is not None:
        # What stands between front matter and text stays.
        assert result.strip("\n") == right.strip("\n")


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_commands_read_what_the_program_reads(tmp_path: Path, encoding: str) -> None:
    data = gzip.compress((CLEAN + "\u00e9 a\x07b\n").encode(encoding))
    options = {"encoding": encoding} if encoding == "cp1252" else {}
    result = mended(tmp_path, "x.gz", data, "controls", **options)
    assert result.removeprefix("\ufeff") == CLEAN + "\u00e9 ab\n"


def test_options_mend(tmp_path: Path) -> None:
    """What `--min-count` and `--encoding` are said to do, they do."""
    path = tmp_path / "x.txt"
    path.write_bytes((CLEAN + "it\x92s\n" * 9).encode("latin-1"))
    finding = the(charlstm.check(path, encoding="latin-1"), "controls")
    assert "--encoding cp1252" in finding.mend
    assert charlstm.check(path, encoding="cp1252").findings == []
    rare = CLEAN + "".join(map(chr, range(0x4E00, 0x4E20))) + "\n"
    path.write_text(rare)
    sources = find_sources([str(path)], DEFAULT_GLOB)
    vocabulary = load_corpus(sources, TextConfig(min_count=5)).tokenizer
    assert len(vocabulary) == charlstm.check(path, min_count=5).vocab_size
