"""Documents come through the doors of plain texts: folders, the cache, checkpoints, commands."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import pytest

from charlstm.config import TextConfig
from charlstm.errors import SourceError
from charlstm.text.cache import Cache
from charlstm.text.corpus import load_corpus
from charlstm.text.hints import hints
from charlstm.text.reading import read_text
from charlstm.text.sources import find_sources
from tests.conftest import Program
from tests.text.rich_files import epub, open_document, paragraph, read, word

pytest.importorskip("lxml", reason="the extra `documents` is not installed")


def test_without_the_library_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "lxml":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "lxml", raising=False)
    for data, advice in (
        (word(paragraph("x")), "pandoc"),
        (open_document(""), "pandoc"),
        (epub({"a": "<p>x"}), "pandoc"),
        (b"<!doctype html><p>x", "--html markup"),
    ):
        with pytest.raises(SourceError, match=r"pip install 'charlstm\[documents\]'") as caught:
            read(tmp_path, data)
        assert advice in str(caught.value)
        assert len(str(caught.value).splitlines()) == 2
    assert read(tmp_path, b"<!doctype html><p>x", html="markup").startswith("<!doctype")


def test_a_folder_with_documents_is_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(word(paragraph("first document")))
    (tmp_path / "b.html").write_bytes(b"<p>second document</p>")
    (tmp_path / "c.txt").write_bytes(b"third document")
    config = TextConfig(glob=("*.docx", "*.html", "*.txt"), documents="file", val_fraction=0.4)
    sources = find_sources([str(tmp_path)], config.glob)
    corpus = load_corpus(sources, config)
    assert "".join(read_text(sources, config)).splitlines() == [
        "first document", "second document", "third document",
    ]  # fmt: skip
    assert corpus.ids.tolist().count(corpus.ids[0]) == 4  # the boundaries
    (line,) = hints(sources, corpus.tokenizer, config)
    assert "b.html is HTML" in line
    assert "--html markup" in line


def test_a_document_that_is_damaged_can_be_skipped_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(word(paragraph("x"))[:-40])
    with pytest.raises(SourceError, match="--exclude"):
        list(read_text(find_sources([str(tmp_path)], ["*.docx"]), TextConfig()))


def test_the_cache_knows_how_a_page_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    page = b"<i>the light</i>"
    (tmp_path / "x.html").write_bytes(page)
    (tmp_path / "x.txt").write_bytes(page)
    lengths: dict[tuple[str, str], int] = {}
    for name in ("x.html", "x.txt", "x.html", "x.txt"):
        for kind in ("text", "markup"):
            config = TextConfig(html=kind)
            sources = find_sources([str(tmp_path / name)])
            corpus = load_corpus(sources, config, in_memory_bytes=0)
            assert lengths.setdefault((name, kind), len(corpus)) == len(corpus)
            assert Cache(sources, config).lookup() is not None
    assert lengths == {
        ("x.html", "text"): 10, ("x.html", "markup"): 17,
        ("x.txt", "text"): 17, ("x.txt", "markup"): 17,
    }  # fmt: skip


def test_older_checkpoints_keep_the_markup() -> None:
    old = TextConfig().to_json()
    assert old.pop("html") == "text"
    assert TextConfig.from_json(old).html == "markup"
    assert TextConfig.from_json(TextConfig().to_json()) == TextConfig()


def test_commands_read_documents(trained: Path, tmp_path: Path, program: Program) -> None:
    """`eval` reads a document as the text that it contains."""
    lines = (trained / "play.txt").read_text("utf-8").splitlines()[:40]
    lines = [line for line in lines if line]
    (tmp_path / "x.docx").write_bytes(word("".join(map(paragraph, lines))))
    (tmp_path / "x.html").write_bytes(f"<p>{'<p>'.join(lines)}".encode())
    (tmp_path / "x.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    run = trained / "checkpoints" / "play"
    shown = []
    for name in ("x.docx", "x.html", "x.txt"):
        result = program("eval", run, name, "--json")
        assert result.returncode == 0, result.stderr
        shown.append(result.stdout.replace(name, ""))
    assert shown[0] == shown[1] == shown[2]
