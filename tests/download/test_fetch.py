"""What is stored, what is there already, and known corpora."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import charlstm
from charlstm.config import FetchConfig
from charlstm.download.corpora import CORPORA, KnownCorpus, KnownFile, known, readme_table
from charlstm.download.fetch import fetch_text
from charlstm.errors import ArgumentTypeError, ConfigError, DownloadError
from tests.conftest import Program, assert_clear, start_program
from tests.download.conftest import Fetch
from tests.download.server import File, Server
from tests.download.test_unpack import tarred, zipped
from tests.zygote import wait_until

ROOT = Path(__file__).parent.parent.parent
TEXT = b"the light is low, and the sea is far\n" * 200
SHA256 = hashlib.sha256(TEXT).hexdigest()


def test_a_file_that_exists_is_not_overwritten(
    server: Server, fetch: Fetch, tmp_path: Path
) -> None:
    server.files["/x.txt"] = File(TEXT)
    (tmp_path / "texts").mkdir()
    mine = tmp_path / "texts" / "x.txt"
    mine.write_text("mine")
    with pytest.raises(DownloadError, match=r"exists.*\n--overwrite"):
        fetch("/x.txt")
    assert server.asked == []
    assert mine.read_text() == "mine"
    assert fetch("/x.txt", name="y.txt").paths[0].name == "y.txt"
    assert fetch("/x.txt", overwrite=True).paths[0].read_bytes() == TEXT
    assert not fetch("/x.txt").downloaded
    mine.write_text("mine")  # changed since
    with pytest.raises(DownloadError, match="exists"):
        fetch("/x.txt")


def test_files_of_an_archive_are_not_overwritten(
    server: Server, fetch: Fetch, tmp_path: Path
) -> None:
    server.files["/some.zip"] = File(zipped(("a/x.txt", TEXT), ("a/y.txt", TEXT)))
    mine = tmp_path / "texts" / "some" / "a" / "y.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(DownloadError, match=r"y\.txt exists"):
        fetch("/some.zip")
    assert mine.read_text() == "mine"
    assert not (mine.parent / "x.txt").exists()
    assert fetch("/some.zip", overwrite=True).downloaded
    assert len(server.asked) == 1  # the first download was kept
    assert mine.read_bytes() == TEXT


def test_the_hash_that_is_given_is_checked(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    server.files["/x.txt"] = File(TEXT)
    with pytest.raises(DownloadError, match=f"another file.*{SHA256}") as caught:
        fetch("/x.txt", sha256="0" * 64)
    assert "0" * 64 in str(caught.value)
    assert not (tmp_path / "texts").exists()
    assert fetch("/x.txt", sha256=SHA256).sha256 == SHA256
    with pytest.raises(DownloadError, match="exists"):
        fetch("/x.txt", sha256="0" * 64)


# --- Known corpora ---


def corpus(server: Server, path: str, *files: KnownFile) -> KnownCorpus:
    return KnownCorpus("test", "Test", "a text", "none", "here", server.url + path, "test", files)


def test_a_known_file_is_checked(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    right = corpus(server, "/input.txt", KnownFile("", len(TEXT), SHA256))
    for data in (TEXT + b"!", TEXT[:-1], TEXT.upper()):
        server.files["/input.txt"] = File(data)
        with pytest.raises(DownloadError, match="another file"):
            fetch("test", right)
        assert not (tmp_path / "texts").exists()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "test").write_bytes(TEXT)  # from elsewhere
    assert not fetch("test", right).downloaded
    (tmp_path / "texts" / "test").unlink()
    server.files["/input.txt"] = File(TEXT)
    assert fetch("test", right).downloaded


def test_the_files_of_a_known_archive_are_unpacked(
    server: Server, fetch: Fetch, tmp_path: Path
) -> None:
    parts = [KnownFile(f"data/{part}.txt", part=part) for part in ("train", "valid", "test")]
    data = tarred(
        *((f"./data/{name}.txt", name.encode()) for name in ("test", "train", "valid", "x"))
    )
    server.files["/some.tgz"] = File(data)
    found = fetch("test", corpus(server, "/some.tgz", *parts))
    folder = tmp_path / "texts" / "test"
    assert found.paths == [folder / "train.txt", folder / "valid.txt", folder / "test.txt"]
    assert [path.read_text() for path in found.paths] == ["train", "valid", "test"]
    assert not (folder / "x.txt").exists()
    assert not fetch("test", corpus(server, "/some.tgz", *parts)).downloaded


@pytest.mark.parametrize(
    "data",
    [zipped(("test", TEXT + b"!")), zipped(("other", TEXT)), TEXT, zipped(("test", TEXT.upper()))],
)
def test_another_archive_is_refused(
    server: Server, fetch: Fetch, tmp_path: Path, data: bytes
) -> None:
    server.files["/some.zip"] = File(data)
    right = corpus(server, "/some.zip", KnownFile("test", len(TEXT), SHA256))
    with pytest.raises(DownloadError, match=r"another|does not contain"):
        fetch("test", right)
    assert not (tmp_path / "texts").exists()
    server.files["/some.zip"] = File(zipped(("test", TEXT)))
    assert fetch("test", right).paths == [tmp_path / "texts" / "test"]


def test_each_corpus_is_well_described() -> None:
    assert len({c.name for c in CORPORA}) == len(CORPORA)
    for one in CORPORA:
        assert known(one.name.upper()) is one
        assert one.url.startswith("https://")
        assert one.described_size
        assert one.licence
        assert one.published
        assert one.file == FetchConfig(name=one.file).name
        assert all(file.sha256 is None or len(file.sha256) == 64 for file in one.files)


def test_the_readme_of_corpora_has_the_same_facts() -> None:
    page = (ROOT / "corpora" / "README.md").read_text("utf-8")
    assert readme_table() in page, "run `make docs`"


def test_tiny_shakespeare_is_the_file_that_was_measured() -> None:
    """The hash that this repository has always stated."""
    (file,) = known("tiny-shakespeare").files
    assert file.sha256 == "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
    assert file.size == 1_115_394


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(DownloadError, match=r"Did you mean 'text8'\?\n.*--list"):
        known("text9")


# --- The command, and Python ---


def test_the_command_prints_paths(server: Server, program: Program, tmp_path: Path) -> None:
    server.files["/x.txt.gz"] = File(zipped(("x.txt", TEXT)))
    result = program("fetch", f"{server.url}/x.txt.gz")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "corpora/x.txt\n"
    assert SHA256 in result.stderr
    again = program("fetch", f"{server.url}/x.txt.gz", "--json")
    record = json.loads(again.stdout)
    assert record["files"] == [{"path": "corpora/x.txt", "bytes": len(TEXT), "sha256": SHA256}]
    assert (record["downloaded"], record["corpus"]) == (False, None)
    assert "nothing was downloaded" in again.stderr


def test_the_command_lists_corpora(program: Program) -> None:
    shown = program("fetch", "--list").stdout
    records = [
        json.loads(line) for line in program("fetch", "--list", "--json").stdout.splitlines()
    ]
    assert [record["name"] for record in records] == [c.name for c in CORPORA]
    for record in records:
        for key in ("name", "size", "licence", "published", "url"):
            assert record[key] in shown
        assert (record["sha256"] or "not recorded") in shown


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "--list"),
        (["--list", "text8"], 2, "--list takes no other"),
        (["--list", "--folder", "x"], 2, "--list takes no other"),
        (["text88"], 1, "Did you mean 'text8'"),
        (["novel.txt"], 1, "there is no corpus"),
        (["dir/novel.txt"], 1, "is not a URL"),
        (["text8", "--sha256", "abc"], 2, "64 hexadecimal digits"),
        (["text8", "--max-size", "many"], 2, "is not a size"),
        (["text8", "--name", "../x"], 2, "is not the name of a file"),
        (["text8", "--folder", ""], 2, "--folder '' is empty"),
        (["https://example.org/"], 1, "--name"),
        (["text8", "--folder", "play.txt"], 1, "cannot write"),
    ],
)
def test_wrong_usage_is_explained(
    program: Program, corpus_file: Path, arguments: list[str], code: int, words: str
) -> None:
    assert_clear(program("fetch", *arguments), code, words)


def test_ctrl_c_keeps_what_was_received(server: Server, tmp_path: Path) -> None:
    import signal

    file = server.files["/x.txt"] = File(TEXT, etag='"one"', cut=[5000], stall=True)
    child = start_program("fetch", f"{server.url}/x.txt", cwd=tmp_path)
    part = tmp_path / "corpora" / ".x.txt.part"
    wait_until(lambda: part.exists() and part.stat().st_size == 5000)
    child.signal(signal.SIGINT)
    assert child.wait() == 130
    assert "5,000 bytes are kept" in child.errors
    assert "the same command continues" in child.errors
    assert file.cut == []
    assert start_program("fetch", f"{server.url}/x.txt", cwd=tmp_path).wait() == 0
    assert (tmp_path / "corpora" / "x.txt").read_bytes() == TEXT
    assert server.asked == ["", "bytes=5000-"]


@pytest.mark.parametrize(
    ("call", "number"), [("os.fsync", 1), ("os.replace", 2), ("os.link", 1), ("os.unlink", 1)]
)
def test_a_killed_fetch_is_repeated_without_loss(
    server: Server, tmp_path: Path, call: str, number: int
) -> None:
    server.files["/x.zip"] = File(zipped(("a.txt", TEXT)), etag='"one"')
    address = f"{server.url}/x.zip"
    start_program("fetch", address, cwd=tmp_path, die=[call, number, False]).wait()
    again = start_program("fetch", address, "--overwrite", cwd=tmp_path)
    assert again.wait() == 0, again.errors
    assert (tmp_path / "corpora" / "a.txt").read_bytes() == TEXT
    left = {path.name for path in (tmp_path / "corpora").iterdir()}
    assert left == {"a.txt", ".x.zip.fetched.json"}


def test_a_full_disk_is_reported_and_nothing_is_lost(server: Server, tmp_path: Path) -> None:
    server.files["/x.txt"] = File(TEXT, etag='"one"')
    child = start_program("fetch", f"{server.url}/x.txt", cwd=tmp_path, file_limit=4000)
    assert child.wait() == 1
    assert "cannot write" in child.errors
    assert "Traceback" not in child.errors
    assert start_program("fetch", f"{server.url}/x.txt", cwd=tmp_path).wait() == 0
    assert server.asked[-1] == "bytes=4000-"


def test_from_python(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server.files["/x.txt"] = File(TEXT)
    done: list[Any] = []
    with caplog.at_level(logging.INFO, "charlstm"):
        found = charlstm.fetch(
            f"{server.url}/x.txt",
            folder=str(tmp_path),
            on_progress=lambda *facts: done.append(facts),
        )
    assert found.paths == [tmp_path / "x.txt"]
    assert done[-1] == ("downloading", len(TEXT), len(TEXT))
    assert SHA256 in caplog.text
    with pytest.raises(ArgumentTypeError, match="Did you mean 'folder'"):
        charlstm.fetch("text8", foldr="x")
    with pytest.raises(ArgumentTypeError, match="source"):
        charlstm.fetch(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="--timeout"):
        charlstm.fetch("text8", timeout=0)
    with pytest.raises(DownloadError, match="there is no corpus"):
        fetch_text("nothing", FetchConfig(), notice=print, progress=lambda *_: None)
    assert replace(found, downloaded=False).to_json()["downloaded"] is False


@pytest.mark.parametrize(
    "file", ['{"path": "a\\u0000", "bytes": 1, "sha256": ""}', "[" * 100_000,
             '{"path": "a", "bytes": 1e999, "sha256": ""}'],
)  # fmt: skip
def test_a_damaged_record_of_a_fetch_is_ignored(
    server: Server, fetch: Fetch, tmp_path: Path, file: str
) -> None:
    server.files["/x.txt"] = File(b"the light")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / ".x.txt.fetched.json").write_text(
        f'{{"url": "{server.url}/x.txt", "unpack": true, "sha256": "", "paths": ["a"], '
        f'"files": [{file}]}}'
    )
    assert fetch("/x.txt").paths[0].read_bytes() == b"the light"
