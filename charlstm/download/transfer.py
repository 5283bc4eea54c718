"""Receiving a file: as many requests as it takes, each from where the last one ended."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import sleep

from charlstm.download.http import Answer, Client, ConnectionLostError, StatusError
from charlstm.download.partial import Identity, Partial
from charlstm.errors import DownloadError

Progress = Callable[[str, int, int | None], None]
"""Called with the activity, the bytes done, and the total if it is known."""

_FRUITLESS_TRIES = 5
_RESTARTS = 3
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


class Transfer:
    """One download.

    Args:
        client: sends the requests.
        partial: receives the bytes.
        url: the address.
        size: the size that the file must have; None: any.
        max_size: the largest size that is accepted, in bytes.
        can_check: whether a hash will be checked, so that bytes of an unidentified version may be
            continued.
        notice: receives a line for each interruption.
        progress: receives the number of bytes.
    """

    def __init__(
        self,
        client: Client,
        partial: Partial,
        url: str,
        *,
        size: int | None,
        max_size: int,
        can_check: bool,
        notice: Callable[[str], None],
        progress: Progress,
    ) -> None:
        self._client = client
        self._partial = partial
        self._url = url
        self._size = size
        self._max_size = max_size
        self._can_check = can_check
        self._notice = notice
        self._progress = progress
        self._ranges = True  # whether the server sends parts of files, as far as is known
        self._restarts = 0

    def run(self) -> None:
        """Receive the whole file.

        Raises:
            DownloadError: it cannot be received; what was received is kept.
        """
        most, fruitless, answered = self._partial.size, 0, False
        while not self._is_complete():
            try:
                self._request()
                return
            except ConnectionLostError as error:
                answered = answered or error.answered
                fruitless = 1 if self._partial.size > most else fruitless + 1
                most = max(most, self._partial.size)
                if fruitless >= _FRUITLESS_TRIES or not answered:
                    raise DownloadError(f"{self._url}: {error}.\n{self._advice()}") from error
                wait = 2 ** (fruitless - 1)
                self._notice(f"{error}; trying again in {wait} s")
                sleep(wait)

    def _is_complete(self) -> bool:
        known = self._partial.identity
        return known is not None and known.total is not None and self._partial.size == known.total

    def _advice(self) -> str:
        if self._partial.size:
            return (
                f"{self._partial.size:,} bytes are kept in {self._partial.path}; "
                "the same command continues."
            )
        return "Check the address and the network; http_proxy and https_proxy name a proxy."

    def _request(self) -> None:
        """Receive the rest of the file, or all of it.

        Raises:
            ConnectionLostError: the connection ended before the file.
            DownloadError: another request does not help.
        """
        known = self._partial.identity
        headers = {}
        if self._partial.size and known and self._ranges and (known.validator or self._can_check):
            headers["Range"] = f"bytes={self._partial.size}-"
            if known.validator:
                headers["If-Range"] = known.validator
        try:
            answer = self._client.get(self._url, headers)
        except StatusError as error:
            if error.code != 416 or not headers:
                raise
            if _length_at_end(error) == self._partial.size:
                return  # all of it is here
            self._start_again()
            raise ConnectionLostError(
                "the file has changed on the server", answered=True
            ) from error
        with answer:
            total = self._begin(answer)
            self._check_size(total)
            while data := answer.read():
                self._check_size(self._partial.size + len(data), exact=False)
                self._partial.write(data)
                self._progress("downloading", self._partial.size, total)
        if total is not None and self._partial.size < total:
            raise ConnectionLostError(
                f"the connection ended after {self._partial.size:,} of {total:,} bytes",
                answered=True,
            )
        self._check_size(self._partial.size)

    def _begin(self, answer: Answer) -> int | None:
        """Prepare the partial file for an answer; returns the total size, if stated."""
        known = self._partial.identity
        if answer.status == 206:
            found = _RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
            total = int(found[3]) if found and found[3] != "*" else None
            fits = (
                found is not None
                and known is not None
                and int(found[1]) == self._partial.size
                and (total is None or known.total in (None, total))
                and (not known.etag or _etag(answer) in ("", known.etag))
            )
            if not fits:
                self._ranges = False
                self._start_again()
                raise ConnectionLostError("the server sent another part of the file", answered=True)
            self._notice(f"continuing at {self._partial.size:,} bytes")
            return known.total if known is not None and total is None else total
        dated = answer.headers.get("Last-Modified", "").strip()
        new = Identity(
            self._url,
            answer.length,
            _etag(answer),
            dated if dated.isprintable() and dated.isascii() else "",
        )
        if self._partial.size:
            self._notice(
                f"starting again, without the {self._partial.size:,} bytes received: "
                + ("the server cannot continue" if new == known else "the file has changed")
            )
            if new != known:
                self._start_again()
        self._partial.restart(new)
        return new.total

    def _start_again(self) -> None:
        """Discard what was received.

        Raises:
            DownloadError: this has happened too often.
        """
        self._restarts += 1
        if self._restarts > _RESTARTS:
            raise DownloadError(
                f"{self._url}: the file changes on the server while it is downloaded, or the "
                "server sends wrong parts of it.\n"
                "Try again later, or another address."
            )
        self._partial.restart(None)

    def _check_size(self, size: int | None, *, exact: bool = True) -> None:
        """Check a size against the required and the largest one.

        Raises:
            DownloadError: it is not allowed.
        """
        if size is None:
            return
        wrong = self._size is not None and (size != self._size if exact else size > self._size)
        if wrong:
            self._partial.restart(None)
            raise DownloadError(
                f"{self._url}: the server sends another file: {size:,} bytes instead of "
                f"{self._size:,}.\nIt may have been replaced; see corpora/README.md."
            )
        if size > self._max_size:
            raise DownloadError(
                f"{self._url}: the file has {size:,} bytes or more, --max-size allows "
                f"{self._max_size:,}.\nGive a larger --max-size if that is what you want."
            )


def _etag(answer: Answer) -> str:
    """The strong entity tag of an answer; empty if there is none."""
    value = answer.headers.get("ETag", "").strip()
    return value if re.fullmatch(r'"[\x21\x23-\x7e]{1,500}"', value) else ""


def _length_at_end(error: StatusError) -> int | None:
    """The file's size from an answer that says that the requested part is beyond its end."""
    headers = {name.lower(): value for name, value in error.headers.items()}
    found = re.fullmatch(r"bytes \*/([0-9]{1,18})", headers.get("content-range", "").strip())
    return int(found[1]) if found else None
