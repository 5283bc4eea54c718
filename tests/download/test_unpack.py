"""Archives: honest ones are unpacked, hostile ones are refused and leave nothing."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from charlstm.errors import DownloadError
from tests.download.conftest import Fetch
from tests.download.server import File, Server

TEXT = b"the light is low, and the sea is far\n" * 20


def zipped(
    *members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(*members: tuple[str, bytes], mode: str = "w:gz", **attributes: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in attributes.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def tree(folder: Path) -> dict[str, bytes]:
    """The files of a folder but for records."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if not path.name.endswith(".fetched.json")
    }


@pytest.mark.parametrize(
    ("name", "data"),
    [("x.txt.gz", gzip.compress(TEXT)), ("x.txt.bz2", bz2.compress(TEXT)),
     ("x.txt.xz", lzma.compress(TEXT)), ("x.txt", gzip.compress(TEXT)),
     ("some.zip", zipped(("a/x.txt", TEXT))), ("some.tgz", tarred(("./a/x.txt", TEXT))),
     ("some", tarred(("a/x.txt", TEXT), mode="w:xz")),
     ("x.txt.tar", tarred(("x.txt", TEXT), mode="w")),
     ("mac.zip", zipped(("x.txt", TEXT), ("__MACOSX/._x.txt", b"junk"))),
     ("x.txt.gz", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]))],
)  # fmt: skip
def test_a_single_file_is_unpacked(
    server: Server, fetch: Fetch, tmp_path: Path, name: str, data: bytes
) -> None:
    server.files[f"/{name}"] = File(data)
    found = fetch(f"/{name}")
    assert found.paths == [tmp_path / "texts" / "x.txt"]
    assert tree(tmp_path / "texts") == {"x.txt": TEXT}
    assert not fetch(f"/{name}").downloaded
    assert len(server.asked) == 1


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_becomes_a_folder(
    server: Server, fetch: Fetch, tmp_path: Path, pack: Callable[..., bytes]
) -> None:
    server.files["/some.zip"] = File(pack(("a/x.txt", TEXT), ("a/b/y.txt", b"two\n")))
    found = fetch("/some.zip")
    assert found.paths == [tmp_path / "texts" / "some"]
    assert tree(tmp_path / "texts") == {"some/a/x.txt": TEXT, "some/a/b/y.txt": b"two\n"}
    assert sorted(os.listdir(tmp_path / "texts")) == [".some.zip.fetched.json", "some"]


def test_unpacking_can_be_declined(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    data = zipped(("x.txt", TEXT))
    server.files["/some.zip"] = File(data)
    assert fetch("/some.zip", unpack=False).paths[0].read_bytes() == data
    server.files["/novel.epub"] = File(
        zipped(("mimetype", b"application/epub+zip"), method=zipfile.ZIP_STORED)
    )
    assert fetch("/novel.epub").paths[0].name == "novel.epub"  # a document is no archive


def link(name: str, target: str) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target.encode()


def encrypted() -> bytes:
    data = bytearray(zipped(("x.txt", TEXT)))
    for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(magic) + offset] |= 1
    return bytes(data)


def lying_size() -> bytes:
    """The directory states less than what the entry unpacks to."""
    data = bytearray(zipped(("x.txt", TEXT)))
    at = data.index(b"PK\1\2") + 24
    data[at : at + 4] = (10).to_bytes(4, "little")
    return bytes(data)


def randbytes(seed: int) -> bytes:
    """9,000 random bytes; with the seed 6, the first 16 after bzip2 are ASCII."""
    return random.Random(seed).randbytes(9000)


def bad_utf_8() -> bytes:
    """The name in the local header is not what its flag says."""
    data = bytearray(zipped(("é.txt", TEXT)))
    data[30] = 0xFF
    return bytes(data)


def blocks(*members: tuple[bytes, int, bytes]) -> bytes:
    """A tar archive of members with any type, stated size and data."""
    found = b""
    for kind, size, data in members:
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, size
        found += info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)
    return found


BOMB = bytes(3 << 20)
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "zip outside": (lambda: zipped(("../x.txt", TEXT)), "not allowed"),
    "zip inner outside": (lambda: zipped(("a/../../x.txt", TEXT)), "not allowed"),
    "zip absolute": (lambda: zipped(("/tmp/x.txt", TEXT)), "not allowed"),
    "zip drive": (lambda: zipped(("C:/x.txt", TEXT)), "not allowed"),
    "zip backslash": (lambda: zipped(("..\\x.txt", TEXT)), "not allowed"),
    "zip control": (lambda: zipped(("a\x1b[2Jb", TEXT)), "not allowed"),
    "zip long name": (lambda: zipped(("a" * 300, TEXT)), "not allowed"),
    "zip deep": (lambda: zipped(("a/" * 40 + "x", TEXT)), "not allowed"),
    "zip link": (lambda: zipped(link("x", "/etc/passwd")), "link"),
    "zip twice": (lambda: zipped(("a", TEXT), ("./A", TEXT)), "twice"),
    "zip encrypted": (encrypted, "password"),
    "zip cut": (lambda: zipped(("x.txt", TEXT))[:-30], "incomplete"),
    "zip lies": (lying_size, "damaged"),
    "zip empty": (lambda: zipped(("a/", b"")), "no file"),
    "zip bomb": (lambda: zipped(("a", BOMB)), "far more than text"),
    "zip directory": (
        lambda: zipped(*((f"{n:0100}", b"") for n in range(29_000)), method=zipfile.ZIP_STORED),
        "too many files",
    ),
    "zip bzip2": (lambda: zipped(("a", BOMB), method=zipfile.ZIP_BZIP2), "compression"),
    "zip LZMA": (lambda: zipped(("a", BOMB), method=zipfile.ZIP_LZMA), "compression"),
    "zip name": (bad_utf_8, "damaged"),
    "tar digits": (lambda: blocks((b"x", 1 << 19, b"1" * (1 << 19)), (b"0", 0, b"")), "damaged"),
    "tar sparse": (lambda: blocks((b"S", 0, b"")), "special"),
    "tar pax sparse": (lambda: blocks((b"x", 22, b"22 GNU.sparse.major=1\n")), "sparse"),
    "tar negative": (
        lambda: blocks((b"0", 0, b"")).replace(b"0" * 11 + b"\0", b"\xff" * 12, 1), "damaged",
    ),
    "tar folders": (lambda: gzip.compress(blocks((b"5", 0, b"")) * 4000), "far more than text"),
    "tar global": (lambda: gzip.compress(blocks((b"g", 1 << 20, bytes(1 << 20))) * 4), "far more"),
    "bz2 damaged": (lambda: bz2.compress(randbytes(0))[:4000] + bytes(5000), "damaged"),
    "bz2 damaged, begins with ASCII": (
        lambda: bz2.compress(randbytes(6))[:4000] + bytes(5000), "damaged",
    ),
    "tar outside": (lambda: tarred(("../x.txt", TEXT)), "not allowed"),
    "tar absolute": (lambda: tarred(("/tmp/x.txt", TEXT)), "not allowed"),
    "tar link": (
        lambda: tarred(("x", b""), type=tarfile.SYMTYPE, linkname="/etc/passwd"), "link",
    ),
    "tar hard link": (
        lambda: tarred(("x", b""), type=tarfile.LNKTYPE, linkname="../x"), "link",
    ),
    "tar device": (lambda: tarred(("x", b""), type=tarfile.CHRTYPE), "special"),
    "tar pipe": (lambda: tarred(("x", b""), type=tarfile.FIFOTYPE), "special"),
    "tar header": (
        lambda: tarred(("x", bytes(2 << 20)), type=tarfile.GNUTYPE_LONGNAME), "header",
    ),
    "tar cut": (lambda: tarred(("x", TEXT), mode="w")[:900], "damaged"),
    "tar.gz cut": (lambda: tarred(("x", os.urandom(9000)))[:-900], "too early"),
    "tar bomb": (lambda: tarred(("a", BOMB)), "far more than text"),
    "gz bomb": (lambda: gzip.compress(BOMB), "far more than text"),
    "xz bomb": (lambda: lzma.compress(BOMB, preset=0), "far more than text"),
    "gz cut": (lambda: gzip.compress(TEXT)[:-9], "too early"),
    "bz2 junk": (lambda: bz2.compress(TEXT) + b"junk", "follow"),
    "xz damaged": (lambda: lzma.compress(TEXT)[:40] + bytes(40), "damaged|follow|early"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "words"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_and_damaged_archives_are_refused(
    server: Server,
    fetch: Fetch,
    tmp_path: Path,
    make: Callable[[], bytes],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("charlstm.text.zips._LEAST_LIMIT", 1 << 20)  # for smaller bombs
    server.files["/some"] = File(make())
    with pytest.raises(DownloadError, match=words) as caught:
        fetch("/some")
    assert "--no-unpack" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2
    assert "\x1b" not in str(caught.value)
    assert not (tmp_path / "texts").exists()
    assert os.listdir(tmp_path) == []


def test_more_than_the_largest_size_is_not_unpacked(server: Server, fetch: Fetch) -> None:
    server.files["/x.gz"] = File(gzip.compress(TEXT * 1000))
    with pytest.raises(DownloadError, match="--max-size"):
        fetch("/x.gz", max_size="100KB")


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_any_format_of_tar_is_read(server: Server, fetch: Fetch, tmp_path: Path, kind: int) -> None:
    names = ["d/" * 3 + "x" * 90 + "y.txt", "b.txt"]
    names += [] if kind == tarfile.USTAR_FORMAT else ["é" * 80 + ".txt"]
    buffer = io.BytesIO()
    comment = {"comment": "0" * 40} if kind == tarfile.PAX_FORMAT else {}  # as of git archive
    with tarfile.open(fileobj=buffer, mode="w", format=kind, pax_headers=comment) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(TEXT)
            archive.addfile(info, io.BytesIO(TEXT))
    server.files["/some.tar"] = File(buffer.getvalue())
    fetch("/some.tar")
    assert tree(tmp_path / "texts" / "some") == dict.fromkeys(names, TEXT)


def test_a_folder_is_not_replaced_and_no_file_is_stored(
    server: Server, fetch: Fetch, tmp_path: Path
) -> None:
    server.files["/some.zip"] = File(zipped(("a", TEXT), ("b", TEXT)))
    (tmp_path / "texts" / "some" / "b").mkdir(parents=True)
    with pytest.raises(DownloadError, match="some/b is a folder"):
        fetch("/some.zip", overwrite=True)
    assert not (tmp_path / "texts" / "some" / "a").exists()
