"""A server on this machine that misbehaves as it is told."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class File:
    """How a path is answered.

    Attributes:
        data: the content.
        etag, last_modified: its validators; empty: none are sent.
        ranges: whether parts are sent.
        cut: the first answers end after so many bytes; each answer takes one.
        stall: whether a cut answer leaves the connection open.
        length: the `Content-Length` that is stated; None: the right one; -1: none.
        status: the status code.
        headers: more headers.
        chunked: whether the body is sent in chunks.
        before: called before each answer.
    """

    data: bytes = b""
    etag: str = ""
    last_modified: str = ""
    ranges: bool = True
    cut: list[int] = field(default_factory=list)
    stall: bool = False
    length: int | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    chunked: bool = False
    before: Callable[[File], None] = lambda _: None


class Server:
    """Files by path, and the requests that were made.

    Attributes:
        url: the address of the server, without a slash at its end.
        files: the files.
        asked: the value of `Range` of each request, or an empty string.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, File] = {}
        self.asked: list[str] = []
        self.stop = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    shared: Server

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""

    def handle(self) -> None:
        with suppress(ssl.SSLError, ConnectionError):  # the client does not trust the certificate
            super().handle()

    def do_GET(self) -> None:
        self.close_connection = True
        file = self.shared.files.get(self.path.partition("?")[0])
        asked = self.headers.get("Range", "")
        self.shared.asked.append(asked)
        if file is None:
            self.send_error(404)
            return
        file.before(file)
        start, status = 0, file.status
        condition = self.headers.get("If-Range", "")
        if asked and file.ranges and condition in ("", file.etag, file.last_modified):
            start, status = int(re.findall(r"\d+", asked)[0]), 206
            if start >= len(file.data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(file.data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        body = file.data[start:]
        self.send_response(status)
        if status == 206:
            end = len(file.data) - 1
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(file.data)}")
        self._send_headers(file, len(body))
        cut = file.cut.pop(0) if file.cut else None
        sent = body if cut is None else body[:cut]
        try:
            if file.chunked:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(sent), sent))
                self.wfile.write(b"0\r\n\r\n" if cut is None else b"")
            else:
                self.wfile.write(sent)
            self.wfile.flush()
            if cut is not None and file.stall:
                self.shared.stop.wait(60)
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def _send_headers(self, file: File, num_bytes: int) -> None:
        if file.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif file.length != -1:
            self.send_header(
                "Content-Length", str(num_bytes if file.length is None else file.length)
            )
        for name, value in (("ETag", file.etag), ("Last-Modified", file.last_modified)):
            if value:
                self.send_header(name, value)
        for name, value in file.headers.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server, until the end of the block; with a context, its addresses begin with https."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    httpd.daemon_threads = True
    httpd.block_on_close = False
    if context is not None:
        httpd.socket = context.wrap_socket(
            httpd.socket, server_side=True, do_handshake_on_connect=False
        )
    scheme = "http" if context is None else "https"
    shared = Server(f"{scheme}://127.0.0.1:{httpd.server_address[1]}")
    httpd.RequestHandlerClass = type("Handler", (_Handler,), {"shared": shared})
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield shared
    finally:
        shared.stop.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()
