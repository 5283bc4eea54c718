"""Downloads from a server that cuts off, stalls, lies, changes the file, or never ends."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlstm.config import FetchConfig
from charlstm.download.fetch import fetch_from
from charlstm.download.partial import Partial
from charlstm.errors import DownloadError
from tests.download.conftest import Fetch
from tests.download.server import File, Server

DATA = b"".join(b"line %d of the light\n" % n for n in range(9000))  # about 200 KB
OTHER = DATA.upper()
SHA256 = hashlib.sha256(DATA).hexdigest()


def hidden(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.endswith((".part", ".tmp")))


def test_a_file_is_stored_whole(server: Server, fetch: Fetch, tmp_path: Path) -> None:
    server.files["/a/My%20text.txt"] = File(DATA)
    found = fetch("/a/My text.txt#top")
    assert found.paths == [tmp_path / "texts" / "My_text.txt"]
    assert found.paths[0].read_bytes() == DATA
    assert (found.sha256, found.downloaded) == (SHA256, True)
    assert hidden(tmp_path / "texts") == []
    mask = os.umask(0)
    os.umask(mask)
    assert found.paths[0].stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize(
    "kind", ["etag", "last_modified", "neither", "chunked", "no length", "stalls"]
)
def test_what_is_cut_off_is_continued(
    server: Server, fetch: Fetch, kind: str, said: list[str]
) -> None:
    file = File(DATA, cut=[70_000, 50_000])
    match kind:
        case "etag":
            file.etag = '"one"'
        case "last_modified":
            file.last_modified = "Fri, 27 Nov 2026 10:00:00 GMT"
        case "stalls":
            file.etag, file.stall = '"one"', True
        case "chunked":
            file.chunked, file.etag = True, '"one"'
        case "no length":  # the end of the connection ends the file
            file.length, file.cut = -1, []
    server.files["/x.txt"] = file
    found = fetch("/x.txt", timeout=0.2)
    assert found.paths[0].read_bytes() == DATA
    if kind == "neither":  # the file could have changed
        assert server.asked == ["", "", ""]
        assert any("starting again" in line for line in said)
    elif kind != "no length":
        assert server.asked == ["", "bytes=70000-", "bytes=120000-"]


@given(cuts=st.lists(st.integers(0, 60_000), max_size=4))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_cuts_anywhere_give_the_same_file(server: Server, fetch: Fetch, cuts: list[int]) -> None:
    server.files["/x.txt"] = File(DATA, etag='"one"', cut=list(cuts))
    assert fetch("/x.txt", overwrite=True).paths[0].read_bytes() == DATA


def test_without_validators_a_known_hash_allows_to_continue(server: Server, fetch: Fetch) -> None:
    server.files["/x.txt"] = File(DATA, cut=[70_000])
    assert fetch("/x.txt", sha256=SHA256.upper()).sha256 == SHA256
    assert server.asked == ["", "bytes=70000-"]


def test_a_server_without_ranges_sends_it_all_again(
    server: Server, fetch: Fetch, said: list[str]
) -> None:
    server.files["/x.txt"] = File(DATA, etag='"one"', cut=[70_000, 70_001], ranges=False)
    assert fetch("/x.txt").paths[0].read_bytes() == DATA
    assert any("the server cannot continue" in line for line in said)


@pytest.mark.parametrize("etag", ['"one"', ""])
def test_a_file_that_changes_is_never_mixed(
    server: Server, fetch: Fetch, etag: str, said: list[str]
) -> None:
    def change(file: File) -> None:
        if len(server.asked) == 2:
            file.data, file.etag = OTHER, '"two"'

    server.files["/x.txt"] = File(DATA, etag=etag, cut=[70_000], before=change)
    assert fetch("/x.txt").paths[0].read_bytes() == OTHER
    assert any("the file has changed" in line for line in said)


def test_a_file_that_changes_all_the_time_is_an_error(server: Server, fetch: Fetch) -> None:
    def change(file: File) -> None:
        file.etag = f'"{len(server.asked)}"'
        file.cut = [1000 * len(server.asked)]

    server.files["/x.txt"] = File(DATA, before=change)
    with pytest.raises(DownloadError, match="changes on the server"):
        fetch("/x.txt")
    assert len(server.asked) < 10


def test_a_part_that_was_not_asked_for_is_refused(server: Server, fetch: Fetch) -> None:
    def other_part(file: File) -> None:
        if len(server.asked) > 1:
            file.status, file.ranges = 206, False
            file.headers = {"Content-Range": f"bytes 5-{len(DATA) - 1}/{len(DATA)}"}
        if len(server.asked) > 2:
            file.status, file.headers = 200, {}

    server.files["/x.txt"] = File(DATA, etag='"one"', cut=[70_000], before=other_part)
    assert fetch("/x.txt").paths[0].read_bytes() == DATA
    assert server.asked == ["", "bytes=70000-", ""]


def test_a_length_that_is_too_large_is_an_error(
    server: Server, fetch: Fetch, tmp_path: Path
) -> None:
    server.files["/x.txt"] = File(DATA, etag='"one"', length=len(DATA) + 10, ranges=False)
    with pytest.raises(DownloadError, match="ended after") as caught:
        fetch("/x.txt")
    assert "the same command continues" in str(caught.value)
    assert len(server.asked) <= 6
    assert not (tmp_path / "texts" / "x.txt").exists()


def test_a_download_is_continued_by_the_next_command(
    server: Server, fetch: Fetch, tmp_path: Path, said: list[str]
) -> None:
    file = server.files["/x.txt"] = File(DATA, etag='"one"', cut=[70_000, *[0] * 5])
    with pytest.raises(DownloadError, match="70,000 bytes are kept"):
        fetch("/x.txt")
    assert hidden(tmp_path / "texts") == [".x.txt.part"]
    file.cut, server.asked = [], []
    assert fetch("/x.txt").paths[0].read_bytes() == DATA
    assert server.asked == ["bytes=70000-"]
    assert "continuing at 70,000 bytes" in said
    assert hidden(tmp_path / "texts") == []


def test_bytes_of_another_address_are_not_continued(
    server: Server, fetch: Fetch, tmp_path: Path
) -> None:
    server.files["/a/x.txt"] = File(DATA, etag='"one"', cut=[70_000, *[0] * 5])
    server.files["/b/x.txt"] = File(OTHER, etag='"one"')
    with pytest.raises(DownloadError, match="kept"):
        fetch("/a/x.txt")
    assert fetch("/b/x.txt").paths[0].read_bytes() == OTHER


@pytest.mark.parametrize(
    "record", ["", "[]", "{}", '{"url": 3}', '{"url": "URL", "etag": "a\\r\\nX: y"}',
               '{"url": "URL", "total": "9"}', '{"url": "URL", "more": 1}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_record_starts_again(
    server: Server, fetch: Fetch, tmp_path: Path, record: str
) -> None:
    server.files["/x.txt"] = File(DATA, etag='"one"')
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / ".x.txt.part").write_bytes(b"junk")
    text = record.replace("URL", f"{server.url}/x.txt")
    (tmp_path / "texts" / ".x.txt.part.json").write_text(text)
    assert fetch("/x.txt").paths[0].read_bytes() == DATA
    assert server.asked == [""]


def test_a_download_that_was_complete_is_not_repeated(
    server: Server, fetch: Fetch, tmp_path: Path
) -> None:
    def appear(_file: File) -> None:
        (tmp_path / "texts" / "x.txt").write_text("mine")

    for length in (None, -1):
        server.files["/x.txt"] = File(DATA, etag='"one"', length=length, cut=[])
        # A file of that name appears while the download goes on.
        server.files["/x.txt"].before = appear
        with pytest.raises(DownloadError, match="exists"):
            fetch("/x.txt")
        assert (tmp_path / "texts" / "x.txt").read_text() == "mine"
        (tmp_path / "texts" / "x.txt").unlink()
        server.files["/x.txt"].before, server.asked = lambda _: None, []
        assert fetch("/x.txt").paths[0].read_bytes() == DATA
        assert server.asked == ([] if length is None else [f"bytes={len(DATA)}-"])
        found = tmp_path / "texts"
        for path in found.iterdir():
            path.unlink()


def test_what_never_ends_is_stopped(server: Server, fetch: Fetch) -> None:
    server.files["/endless"] = File(DATA, length=-1)
    server.files["/large"] = File(DATA)
    for path in ("/endless", "/large"):
        with pytest.raises(DownloadError, match="--max-size allows 100,000"):
            fetch(path, max_size="100KB")


def test_another_process_that_downloads_is_noticed(
    server: Server, fetch: Fetch, tmp_path: Path
) -> None:
    (tmp_path / "texts").mkdir()
    server.files["/x.txt"] = File(DATA)
    with (
        Partial(tmp_path / "texts", "x.txt", f"{server.url}/x.txt"),
        pytest.raises(DownloadError, match="another process"),
    ):
        fetch("/x.txt")
    assert fetch("/x.txt").downloaded


def test_a_link_in_place_of_the_partial_file_is_not_followed(
    server: Server, fetch: Fetch, tmp_path: Path
) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "texts" / ".x.txt.part").symlink_to(tmp_path / "precious")
    server.files["/x.txt"] = File(DATA)
    with pytest.raises(DownloadError, match="cannot write"):
        fetch("/x.txt")
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_request_to_stop_keeps_what_was_received(
    server: Server, tmp_path: Path, said: list[str]
) -> None:
    server.files["/x.txt"] = File(DATA, etag='"one"')

    def stop(_what: str, done: int, _total: int | None) -> None:
        if done > 100_000:
            raise KeyboardInterrupt

    config = FetchConfig(folder=str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        fetch_from(f"{server.url}/x.txt", None, config, notice=said.append, progress=stop)
    assert "the same command continues" in said[-1]
    kept = (tmp_path / ".x.txt.part").stat().st_size
    assert kept > 100_000
    found = fetch_from(
        f"{server.url}/x.txt", None, config, notice=said.append, progress=lambda *_: None
    )
    assert found.paths[0].read_bytes() == DATA
    assert server.asked == ["", f"bytes={kept}-"]
