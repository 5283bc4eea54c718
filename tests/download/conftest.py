"""A misbehaving server, and no proxies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from charlstm.config import FetchConfig
from charlstm.download.fetch import fetch_from
from charlstm.download.stored import Fetched
from tests.download.server import Server, serving

Fetch = Callable[..., Fetched]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    # Waits between tries take seconds.
    monkeypatch.setattr("charlstm.download.transfer.sleep", lambda _seconds: None)
    with serving() as found:
        yield found


@pytest.fixture
def said() -> list[str]:
    """The notices of `fetch`."""
    return []


@pytest.fixture
def fetch(server: Server, tmp_path: Path, said: list[str]) -> Fetch:
    """`fetch("/x.txt")` fetches from the server into the folder `texts` of the test's folder."""

    def call(path: str, corpus: Any = None, **options: Any) -> Fetched:
        url = path if ":" in path else server.url + path
        config = FetchConfig(folder=str(tmp_path / "texts"), **options)
        return fetch_from(url, corpus, config, notice=said.append, progress=lambda *_: None)

    return call
