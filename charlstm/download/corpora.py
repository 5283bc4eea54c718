"""Known corpora: where each is published, and what is known of it.

`corpora/README.md` has the same facts in a table, which `make docs` writes from here. A hash is
recorded only if it was computed from the file itself.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from charlstm.errors import DownloadError


@dataclass(frozen=True)
class KnownFile:
    """A file of a corpus.

    Attributes:
        member: its path in the archive; empty if the download itself is the file.
        size: bytes; None: not recorded.
        sha256: None: not recorded.
        part: `train`, `val` or `test` if the corpus is published in parts.
    """

    member: str = ""
    size: int | None = None
    sha256: str | None = None
    part: str = ""


@dataclass(frozen=True)
class KnownCorpus:
    """A corpus that `charlstm fetch` knows by name.

    Attributes:
        name: its name on the command line.
        title: its usual name.
        what: what it contains.
        size: its size in words, where that of a file is not recorded.
        licence: the terms that its publisher states.
        published: by whom it is published.
        url: the address of the download.
        file: the name of the file, or of the folder if there are several.
        files: the files of the corpus; others in the archive are not unpacked.
    """

    name: str
    title: str
    what: str
    licence: str
    published: str
    url: str
    file: str
    files: tuple[KnownFile, ...] = (KnownFile(),)
    size: str = ""

    @property
    def described_size(self) -> str:
        """The size in bytes, or an estimate in words."""
        sizes = [file.size for file in self.files if file.size is not None]
        return f"{sum(sizes):,}" if len(sizes) == len(self.files) else self.size

    @property
    def sha256(self) -> str | None:
        """The SHA-256 of a corpus of one file, if recorded."""
        return self.files[0].sha256 if len(self.files) == 1 else None

    def to_json(self) -> dict[str, Any]:
        """The facts as a JSON object."""
        return {
            "name": self.name,
            "title": self.title,
            "what": self.what,
            "size": self.described_size,
            "licence": self.licence,
            "published": self.published,
            "url": self.url,
            "sha256": self.sha256,
        }


_PTB = "simple-examples/data/ptb.char.{}.txt"
_WIKITEXT = "wikitext-2-raw/wiki.{}.raw"

CORPORA = (
    KnownCorpus(
        name="tiny-shakespeare",
        title="tiny Shakespeare",
        what="40,000 lines of the plays, one file, `input.txt`",
        licence="public domain",
        published="with Andrej Karpathy's char-rnn",
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        file="tiny-shakespeare.txt",
        files=(
            KnownFile(
                size=1_115_394,
                sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            ),
        ),
    ),
    KnownCorpus(
        name="text8",
        title="text8",
        what="the first 10^8 characters of cleaned English Wikipedia text, 27 distinct characters",
        licence="CC BY-SA",
        published="Matt Mahoney, Large Text Compression Benchmark",
        url="https://mattmahoney.net/dc/text8.zip",
        file="text8",
        files=(KnownFile("text8", 100_000_000),),
    ),
    KnownCorpus(
        name="enwik8",
        title="enwik8",
        what="the first 10^8 bytes of an English Wikipedia dump, with its markup",
        licence="CC BY-SA / GFDL",
        published="Matt Mahoney, Hutter Prize",
        url="https://mattmahoney.net/dc/enwik8.zip",
        file="enwik8",
        files=(KnownFile("enwik8", 100_000_000),),
    ),
    KnownCorpus(
        name="ptb-characters",
        title="Penn Treebank, characters",
        what="Wall Street Journal articles, lower case, 50 distinct characters",
        size="about 5,000,000 train",
        licence="LDC licence",
        published="Mikolov et al. 2012",
        url="https://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz",
        file="ptb-characters",
        files=(
            KnownFile(_PTB.format("train"), part="train"),
            KnownFile(_PTB.format("valid"), part="val"),
            KnownFile(_PTB.format("test"), part="test"),
        ),
    ),
    KnownCorpus(
        name="wikitext-2",
        title="WikiText-2, raw",
        what="good articles of English Wikipedia, with headings",
        size="about 11,000,000 train",
        licence="CC BY-SA",
        published="Merity et al. 2016",
        url="https://huggingface.co/datasets/ggml-org/ci/resolve/main/wikitext-2-raw-v1.zip",
        file="wikitext-2",
        files=(
            KnownFile(_WIKITEXT.format("train"), part="train"),
            KnownFile(_WIKITEXT.format("valid"), part="val"),
            KnownFile(_WIKITEXT.format("test"), part="test"),
        ),
    ),
    KnownCorpus(
        name="war-and-peace",
        title="War and Peace",
        what="the novel, in English translation",
        size="about 3,200,000",
        licence="public domain in most countries",
        published="Project Gutenberg",
        url="https://www.gutenberg.org/files/2600/2600-0.txt",
        file="war-and-peace.txt",
    ),
)


def known(name: str) -> KnownCorpus:
    """The corpus of that name, ignoring case.

    Raises:
        DownloadError: there is none.
    """
    found = {corpus.name: corpus for corpus in CORPORA}
    if (corpus := found.get(name.lower())) is not None:
        return corpus
    near = difflib.get_close_matches(name.lower(), found, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise DownloadError(
        f"there is no corpus {name!r}.{hint}\n"
        "charlstm fetch --list lists them; or give a URL, which begins with https:// or http://."
    )


def readme_table() -> str:
    """The table of `corpora/README.md`, in Markdown."""
    header = ["name", "what", "size", "licence", "published"]
    rows = [
        [
            f"{corpus.title} (`{corpus.name}`)",
            corpus.what,
            corpus.described_size + (f"; sha256 `{corpus.sha256}`" if corpus.sha256 else ""),
            corpus.licence,
            f"{corpus.published}: `{corpus.url}`",
        ]
        for corpus in CORPORA
    ]
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
