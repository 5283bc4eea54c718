"""Addresses, redirections, proxies, and answers that are not the file."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from charlstm.download.http import checked_url, file_name
from charlstm.errors import DownloadError
from tests.download.conftest import Fetch
from tests.download.server import File, Server, serving


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.org", "https://example.org/"),
        (" HTTPS://Example.org:8080/a b?c=d e#f ", "https://example.org:8080/a%20b?c=d%20e"),
        ("https://b\u00fccher.example/\u00e4.txt", "https://xn--bcher-kva.example/%C3%A4.txt"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("https://example.org/a%20b", "https://example.org/a%20b"),
    ],
)
def test_addresses_become_ascii(url: str, expected: str) -> None:
    assert checked_url(url) == expected


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://example.org/x", "data:text/plain,x", "https://", "https:///x",
     "https://u:p@example.org/x", "https://example.org:999999/x", "https://[::1/x",
     "https://exa\nmple.org/x", "http://example.org/\x00", "javascript:x", "example.org/x.txt",
     "https://" + "a" * 70 + ".org/"],
)  # fmt: skip
def test_other_addresses_are_refused(fetch: Fetch, url: str) -> None:
    with pytest.raises(DownloadError) as caught:
        fetch(url) if ":" in url else checked_url(url)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://x.org/a/b.txt?c=d/e", "b.txt"),
        ("https://x.org/a/", "a"),
        ("https://x.org/", ""),
        ("https://x.org/..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("https://x.org/..", ""),
        ("https://x.org/--help", "help"),
        ("https://x.org/.bashrc", "bashrc"),
        ("https://x.org/a%00b%0Ac;rm", "a_b_c_rm"),
        ("https://x.org/" + "a" * 300 + ".txt", "a" * 146 + ".txt"),
    ],
)
def test_names_of_files_are_safe(url: str, name: str) -> None:
    assert file_name(url) == name


def test_a_redirection_is_followed(server: Server, fetch: Fetch) -> None:
    server.files["/x.txt"] = File(status=302, headers={"Location": "/moved?to=y"})
    server.files["/moved"] = File(b"the light\n" * 900, etag='"one"', cut=[50])
    found = fetch("/x.txt")
    assert found.paths[0].name == "x.txt"
    assert found.paths[0].read_bytes() == b"the light\n" * 900
    assert "bytes=50-" in server.asked  # the range is kept


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/x.txt", "in a circle"),
        ("file:///etc/passwd", "neither https nor http"),
        ("ftp://example.org/x", "neither https nor http"),
        ("data:text/plain,x", "neither https nor http"),
        ("http://someone:secret@example.org/x", "password"),
        ("http://127.0.0.1:999999/x", "not a valid URL"),
        ("", "answers 302"),
    ],
)
def test_a_redirection_that_leads_nowhere_is_refused(
    server: Server, fetch: Fetch, location: str, words: str
) -> None:
    server.files["/x.txt"] = File(status=302, headers={"Location": location} if location else {})
    with pytest.raises(DownloadError, match=words):
        fetch("/x.txt")


@pytest.mark.parametrize(
    ("status", "words", "requests"),
    [(404, "404 .*\n.*address", 1), (403, "login", 1), (410, "410", 1), (400, "400", 1),
     (500, "500", 5), (503, "503", 5), (429, "429", 5), (204, "no file", 1)],
)  # fmt: skip
def test_an_error_of_the_server_is_reported(
    server: Server, fetch: Fetch, status: int, words: str, requests: int
) -> None:
    server.files["/x.txt"] = File(b"" if status == 204 else b"<h1>Sorry</h1>", status=status)
    with pytest.raises(DownloadError, match=words):
        fetch("/x.txt")
    assert len(server.asked) == requests


def test_a_busy_server_is_asked_again(server: Server, fetch: Fetch, said: list[str]) -> None:
    def recover(file: File) -> None:
        file.status = 503 if len(server.asked) < 3 else 200

    server.files["/x.txt"] = File(b"the light\n", before=recover)
    assert fetch("/x.txt").paths[0].read_bytes() == b"the light\n"
    assert "trying again in 1 s" in said[1]


def test_a_web_page_instead_of_a_text_is_refused(server: Server, fetch: Fetch) -> None:
    page = File(b"<html>Log in</html>", headers={"Content-Type": "text/html; charset=utf-8"})
    server.files["/x.txt"] = server.files["/page"] = server.files["/x.html"] = page
    with pytest.raises(DownloadError, match="web page"):
        fetch("/x.txt")
    assert fetch("/page").paths[0].name == "page"
    assert fetch("/x.html").paths[0].name == "x.html"


def test_an_empty_file_is_refused(server: Server, fetch: Fetch) -> None:
    server.files["/x.txt"] = File(b"")
    with pytest.raises(DownloadError, match="is empty"):
        fetch("/x.txt")


def test_a_server_that_cannot_be_reached_is_named(server: Server, fetch: Fetch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DownloadError, match="connection is refused") as caught:
        fetch(f"http://127.0.0.1:{port}/x.txt")
    assert "http_proxy" in str(caught.value)
    with pytest.raises(DownloadError, match="cannot be resolved"):
        fetch("http://no-such-host.invalid/x.txt")


@pytest.mark.parametrize(
    "answer",
    [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70_000,
     b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"HTTP/1.1 999999 Odd\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
     b"HTTP/1.1 206 OK\r\nContent-Range: bytes x\r\n\r\nabc"],
)  # fmt: skip
def test_an_answer_that_is_not_http_is_an_error(
    server: Server, fetch: Fetch, answer: bytes
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            for _ in range(5):
                try:
                    with listener.accept()[0] as one:
                        one.recv(4096)
                        one.sendall(answer)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(DownloadError) as caught:
            fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/x.txt", timeout=2.0)
        assert len(str(caught.value).splitlines()) == 2
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_the_proxy_of_the_environment_is_used(
    server: Server, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as proxy:
        proxy.files["http://texts.invalid/x.txt"] = File(b"by proxy\n")
        monkeypatch.setenv("http_proxy", proxy.url)
        assert fetch("http://texts.invalid/x.txt").paths[0].read_bytes() == b"by proxy\n"
        assert len(proxy.asked) == 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_certificates_are_checked_and_own_ones_accepted(
    fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(context) as secure, serving() as plain:
        secure.files["/x.txt"] = plain.files["/x.txt"] = File(b"the light\n")
        with pytest.raises(DownloadError, match=r"certificate of 127\.0\.0\.1 .*\n.*SSL_CERT_FILE"):
            fetch(f"{secure.url}/x.txt")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetch(f"{secure.url}/x.txt").paths[0].read_bytes() == b"the light\n"
        secure.files["/y.txt"] = File(status=302, headers={"Location": f"{plain.url}/x.txt"})
        with pytest.raises(DownloadError, match=r"not encrypted\.\n--allow-http"):
            fetch(f"{secure.url}/y.txt")
        assert plain.asked == []
        assert fetch(f"{secure.url}/y.txt", allow_http=True).downloaded
        plain.files["/z.txt"] = File(status=302, headers={"Location": f"{secure.url}/x.txt"})
        assert fetch(f"{plain.url}/z.txt").downloaded  # from http to https
