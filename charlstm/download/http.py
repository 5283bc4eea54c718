"""HTTP requests with urllib: which addresses are allowed, and what their errors mean.

Proxies are those of the environment (`http_proxy`, `https_proxy`, `no_proxy`), certificates those
of OpenSSL (`SSL_CERT_FILE`, `SSL_CERT_DIR`).
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import urllib.error
from collections.abc import Mapping
from email.message import Message
from typing import IO, Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from charlstm import __version__
from charlstm.errors import DownloadError

_SCHEMES = ("http", "https")
_WORTH_ANOTHER_TRY = (408, 429, 500, 502, 503, 504)
_BLOCK_BYTES = 1 << 16
_NOT_HTML = re.compile(
    r"\.(txt|md|csv|tsv|jsonl?|log|zip|tar|t?gz|t?bz2|t?xz|docx|odt|epub|text|raw)$", re.I
)


class ConnectionLostError(DownloadError):
    """The connection failed in a way that another try may mend.

    Attributes:
        answered: whether the server had answered.
    """

    def __init__(self, reason: str, answered: bool) -> None:
        self.answered = answered
        super().__init__(reason)


class StatusError(DownloadError):
    """The server answered a request with an error.

    Attributes:
        code: the status code.
        headers: the headers of the answer.
    """

    def __init__(self, reason: str, code: int, headers: Mapping[str, str]) -> None:
        self.code = code
        self.headers = headers
        super().__init__(reason)


def checked_url(url: str) -> str:
    """A URL in ASCII, without its fragment.

    Raises:
        DownloadError: it is not valid, or neither http nor https.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
        name = "" if host is None else host.encode("idna").decode("ascii")
    except (ValueError, UnicodeError) as error:
        raise DownloadError(f"{url!r} is not a valid URL: {error}.") from error
    if not parts.scheme:
        raise DownloadError(f"{url!r} is not a URL, which begins with https:// or http://.")
    if parts.scheme.lower() not in _SCHEMES:
        raise DownloadError(
            f"{url!r}: only https and http are supported, not {parts.scheme}.\n"
            "A file of this machine needs no download: give its path to charlstm train."
        )
    if not name or re.search(r"[\0- \x7f]", url.strip().replace(" ", "")):
        raise DownloadError(f"{url!r} is not a valid URL: it has no host, or control characters.")
    if parts.username is not None or parts.password is not None:
        raise DownloadError(
            "URLs with a user name and a password are not supported.\nDownload the file with "
            "another program, and give its path to charlstm train."
        )
    name = f"[{name}]" if ":" in name else name
    safe = "/%:@!$&'()*+,;=~-._?[]"
    return urlunsplit(
        (
            parts.scheme.lower(),
            name if port is None else f"{name}:{port}",
            quote(parts.path, safe) or "/",
            quote(parts.query, safe),
            "",
        )
    )


def file_name(url: str) -> str:
    """The last part of a URL's path as a safe file name; empty if there is none."""
    return safe_name(unquote(urlsplit(url).path, errors="replace").rstrip("/").rpartition("/")[2])


def safe_name(name: str) -> str:
    """A file name without characters that need quotation in a shell; empty if none is left."""
    return re.sub(r"[^\w.+-]+", "_", name).lstrip(".-")[-150:]


class Answer:
    """The body of a successful answer.

    Args:
        response: the open response.

    Attributes:
        status: 200 or 206.
        headers: its headers.
    """

    def __init__(self, response: Any) -> None:
        self._response = response
        self.status: int = response.status
        self.headers: Message = response.headers

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()

    @property
    def length(self) -> int | None:
        """The length of the body in bytes, if the server states it."""
        value = self.headers.get("Content-Length", "")
        chunked = self.headers.get("Transfer-Encoding")
        return int(value) if re.fullmatch(r"[0-9]{1,18}", value) and not chunked else None

    def read(self) -> bytes:
        """The next bytes; empty at the end.

        Raises:
            ConnectionLostError: the connection ends early, or nothing arrives in time.
        """
        try:
            data: bytes = self._response.read1(_BLOCK_BYTES)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ConnectionLostError(_reason(error), answered=True) from error
        return data


class Client:
    """Sends requests.

    Args:
        allow_http: whether a redirection from https to http is followed.
        timeout: seconds without data after which a connection counts as lost.
    """

    def __init__(self, allow_http: bool, timeout: float) -> None:
        self._timeout = timeout
        self._opener = OpenerDirector()
        # Not those of `build_opener`, which also opens files, FTP and data: URLs.
        for handler in (
            ProxyHandler(),
            HTTPHandler(),
            HTTPSHandler(),
            HTTPDefaultErrorHandler(),
            HTTPErrorProcessor(),
            _Redirections(allow_http),
        ):
            self._opener.add_handler(handler)

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """The answer to a GET request.

        Raises:
            ConnectionLostError: there is no answer, or one that another try may mend.
            StatusError: the server answers with an error.
            DownloadError: a redirection is refused, or the certificate cannot be verified.
        """
        host = urlsplit(url).hostname
        ours = {"User-Agent": f"charlstm/{__version__}", "Accept-Encoding": "identity"}
        request = Request(url, headers={**ours, **headers})
        try:
            response = self._opener.open(request, timeout=self._timeout)
        except urllib.error.HTTPError as error:
            error.close()
            raise _status_error(url, error) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise DownloadError(
                    f"the certificate of {host} cannot be verified: {cause.verify_message}.\n"
                    "If your network has a certificate of its own, SSL_CERT_FILE names its file."
                ) from error
            raise ConnectionLostError(_reason(cause), answered=False) from error
        if response.status not in (200, 206):
            response.close()
            raise StatusError(f"{url}: the server sent no file ({response.status}).",
                              response.status, dict(response.headers))  # fmt: skip
        answer = Answer(response)
        kind = answer.headers.get_content_type()
        if kind in ("text/html", "application/xhtml+xml") and _NOT_HTML.search(urlsplit(url).path):
            response.close()
            raise DownloadError(
                f"{url}: the server sent a web page instead of the file.\n"
                "Open the address in a browser: the file may have moved, or need a login."
            )
        return answer


class _Redirections(HTTPRedirectHandler):
    """Follows redirections to http and https, but not from https to http unless allowed."""

    def __init__(self, allow_http: bool) -> None:
        self._allow_http = allow_http

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        """The request to the new address.

        Raises:
            DownloadError: it is not allowed.
        """
        new = urlsplit(newurl).scheme.lower()
        if new not in _SCHEMES:
            fp.close()
            raise DownloadError(
                f"{req.full_url}: redirected to {newurl[:200]!r}, which is neither https nor http."
            )
        if req.type == "https" and new == "http" and not self._allow_http:
            fp.close()
            raise DownloadError(
                f"{req.full_url}: redirected to {newurl[:200]!r}, which is not encrypted.\n"
                "--allow-http follows it; check the file with --sha256 then."
            )
        try:
            checked_url(newurl)
        except DownloadError as error:
            fp.close()
            reason = "which is not a valid URL, or has a password.\nGive another address."
            raise DownloadError(f"{req.full_url}: redirected to {newurl!r}, {reason}") from error
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _status_error(url: str, error: urllib.error.HTTPError) -> DownloadError:
    code = error.code
    if 300 <= code < 400 and code != 304:
        if HTTPRedirectHandler.inf_msg in str(error.msg):
            return DownloadError(f"{url}: redirected in a circle.\nGive another address.")
        if "is not allowed" in str(error.msg):  # by urllib, before `redirect_request`
            where = error.headers.get("Location", "")[:200]
            return DownloadError(
                f"{url}: redirected to {where!r}, which is neither https nor http."
            )
    if code in _WORTH_ANOTHER_TRY:
        return ConnectionLostError(f"the server answers {code} ({_phrase(code)})", answered=True)
    advice = {
        401: "It needs a login: download it with a browser, and give its path to charlstm train.",
        403: "It needs a login: download it with a browser, and give its path to charlstm train.",
        404: "Check the address; the file may have moved.",
        410: "Check the address; the file may have moved.",
    }.get(code, "Try again later, or another address.")
    return StatusError(
        f"{url}: the server answers {code} ({_phrase(code)}).\n{advice}",
        code,
        dict(error.headers or {}),
    )


def _phrase(code: int) -> str:
    return http.client.responses.get(code, "unknown status")


_REASONS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((socket.gaierror,), "the name of the server cannot be resolved"),
    ((TimeoutError,), "the server does not send anything"),
    ((ConnectionRefusedError,), "the connection is refused"),
    ((http.client.IncompleteRead, http.client.RemoteDisconnected), "the connection ended early"),
    ((ConnectionError,), "the connection was cut"),
)


def _reason(error: object) -> str:
    """Why a connection failed, in a few words."""
    for kinds, reason in _REASONS:
        if isinstance(error, kinds):
            return reason
    if isinstance(error, OSError):
        return str(error.strerror or error)
    invalid = f"the answer is not valid HTTP ({type(error).__name__})"
    return error if isinstance(error, str) else invalid
