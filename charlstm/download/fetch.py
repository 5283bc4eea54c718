"""Fetching a text: download, check, unpack, and put in place without overwriting anything."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from charlstm.config import FetchConfig
from charlstm.config.sizes import bytes_of
from charlstm.download.corpora import KnownCorpus, KnownFile, known
from charlstm.download.http import Client, checked_url, file_name, safe_name
from charlstm.download.partial import Partial
from charlstm.download.stored import (
    Fetched,
    FetchedFile,
    is_unchanged,
    new_folder,
    place,
    read_record,
    remove_left_over,
    sha256_of,
    write_record,
)
from charlstm.download.transfer import Progress, Transfer
from charlstm.download.unpack import BadArchiveError, Packed, packing_of, unpack
from charlstm.errors import DownloadError
from charlstm.format.files import expand_home, make_folders

Notice = Callable[[str], None]


def fetch_text(source: str, config: FetchConfig, *, notice: Notice, progress: Progress) -> Fetched:
    """Fetch a known corpus, or the file at a URL.

    Args:
        source: a corpus's name, or a URL.
        config: where to store it, and how to check it.
        notice: receives messages.
        progress: receives the progress.

    Raises:
        DownloadError: it cannot be downloaded, is not the expected file, cannot be unpacked, or a
            file of that name exists.
    """
    corpus = None if ":" in source or "/" in source else known(source)
    return fetch_from(source, corpus, config, notice=notice, progress=progress)


def fetch_from(
    source: str,
    corpus: KnownCorpus | None,
    config: FetchConfig,
    *,
    notice: Notice,
    progress: Progress,
) -> Fetched:
    """`fetch_text` for a corpus whose facts are given."""
    url = checked_url(source if corpus is None else corpus.url)
    name = config.name or (corpus.file if corpus and config.unpack else file_name(url))
    if not name:
        raise DownloadError(f"{url} does not end in the name of a file.\nGive it one with --name.")
    job = _Job(url, name, corpus, config, Path(expand_home(config.folder)), notice, progress)
    with new_folder(job.folder):
        return job.existing() or job.download()


@dataclass(frozen=True)
class _Job:
    """One fetch."""

    url: str
    name: str
    corpus: KnownCorpus | None
    config: FetchConfig
    folder: Path
    notice: Notice
    progress: Progress

    @property
    def known_files(self) -> tuple[KnownFile, ...]:
        return () if self.corpus is None else self.corpus.files

    @property
    def plain(self) -> KnownFile | None:
        """What is known of the download itself, if it is not packed."""
        files = self.known_files
        return files[0] if len(files) == 1 and not files[0].member else None

    @property
    def wanted_sha256(self) -> str | None:
        """The SHA-256 that the download must have."""
        return self.config.sha256 or (self.plain.sha256 if self.plain else None)

    # --- What is there already ---

    def existing(self) -> Fetched | None:
        """The result of an earlier fetch, if it is complete and unchanged; otherwise None.

        Raises:
            DownloadError: a file of that name is something else.
        """
        if self.config.overwrite:
            return None
        found = self._recorded()
        if found is not None:
            self.notice(f"already in {self.folder}, unchanged; nothing was downloaded")
            return found
        self._refuse([self.folder / self.name])
        return None

    def _refuse(self, targets: list[Path]) -> None:
        """Refuse to replace files.

        Raises:
            DownloadError: one of them exists.
        """
        taken = [path for path in targets if os.path.lexists(path)]
        if folders := [path for path in taken if path.is_dir() and not path.is_symlink()]:
            raise DownloadError(
                f"{folders[0]} is a folder, which is not replaced by a file.\n"
                "--name and --folder give another place."
            )
        if taken and not self.config.overwrite:
            raise DownloadError(
                f"{taken[0]} exists, and is not what an earlier fetch stored from {self.url}.\n"
                "--overwrite replaces it; --name and --folder give another place."
            )

    def _recorded(self) -> Fetched | None:
        """The recorded result of an earlier fetch; for a known file, one without a record."""
        found = read_record(self._record, self.folder, self.url, self.config.unpack, self.corpus)
        plain = self.plain
        if found is None and plain is not None and plain.sha256 is not None:
            file = FetchedFile(self.folder / self.name, plain.size or 0, plain.sha256)
            found = Fetched(self.url, plain.sha256, [file.path], [file], False, self.corpus)
        if found is None or self.wanted_sha256 not in (None, found.sha256):
            return None
        return found if all(map(is_unchanged, found.files)) else None

    @property
    def _record(self) -> Path:
        return self.folder / f".{self.name}.fetched.json"

    # --- Downloading ---

    def download(self) -> Fetched:
        """Download, check, unpack and store.

        Raises:
            DownloadError: see `fetch_text`.
        """
        max_size = bytes_of(self.config.max_size)
        assert max_size is not None  # checked by the configuration
        with Partial(self.folder, self.name, self.url) as partial:
            remove_left_over(self.folder, self.name)
            self.notice(f"downloading {self.url}")
            try:
                Transfer(
                    Client(self.config.allow_http, self.config.timeout),
                    partial,
                    self.url,
                    size=self.plain.size if self.plain and not self.config.sha256 else None,
                    max_size=max_size,
                    can_check=self.wanted_sha256 is not None,
                    notice=self.notice,
                    progress=self.progress,
                ).run()
            except KeyboardInterrupt:
                self.notice(
                    f"{partial.size:,} bytes are kept in {partial.path}; "
                    "the same command continues the download"
                )
                raise
            partial.sync()
            sha256 = self._check(partial)
            try:
                plain = Packed("", self.name)
                packed = packing_of(partial.path, self.name) if self.config.unpack else plain
                fetched = self._store(partial, packed, sha256, max_size)
            except BadArchiveError:
                partial.restart(None)
                raise
            partial.remove()
        return fetched

    def _check(self, partial: Partial) -> str:
        """The SHA-256 of the download.

        Raises:
            DownloadError: it is empty, or not the expected file.
        """
        if partial.size == 0:
            raise DownloadError(f"{self.url}: the file is empty.\nCheck the address.")
        sha256 = sha256_of(partial.path)
        if self.wanted_sha256 not in (None, sha256):
            partial.restart(None)
            raise DownloadError(
                f"{self.url}: the server sent another file: its SHA-256 is {sha256}, not "
                f"{self.wanted_sha256}.\nIt was removed. Check the hash and the address."
            )
        return sha256

    def _store(self, partial: Partial, packed: Packed, sha256: str, max_size: int) -> Fetched:
        """Unpack the download, if it is packed, and put the files in place.

        Raises:
            DownloadError: it cannot be unpacked, or a file of that name exists.
        """
        if not packed.kind:
            if self.known_files and self.plain is None and self.config.unpack:
                raise BadArchiveError(
                    f"{self.url}: the server sent another file, which is not an archive.\n"
                    "Try again later; --no-unpack stores it as it is."
                )
            target = self.folder / self.name
            self._refuse([target])
            place(partial.path, target, self.config.overwrite)
            files = [FetchedFile(target, partial.size, sha256)]
            return self._finish(Fetched(self.url, sha256, [target], files, True, self.corpus))
        # Beside the target, so that files can be renamed into it.
        temporary = Path(tempfile.mkdtemp(dir=self.folder, prefix=f".{self.name}.", suffix=".tmp"))
        try:
            written = unpack(
                partial.path,
                packed,
                temporary,
                name=self.name,
                members=tuple(file.member for file in self.known_files if file.member),
                max_size=max_size,
                progress=lambda done: self.progress("unpacking", done, None),
            )
            self._check_known(temporary)
            one = len(written) == 1
            top = self.folder if one else self.folder / self._stem(packed)
            targets = {where: top / self._target(where, one, packed) for where in written}
            self._refuse(list(targets.values()))
            for where, target in targets.items():
                make_folders(target.parent)
                place(temporary / where, target, self.config.overwrite)
            files = [
                FetchedFile(target, target.stat().st_size, sha256_of(target))
                for target in targets.values()
            ]
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        paths = [file.path for file in files] if one or self.corpus else [top]
        return self._finish(Fetched(self.url, sha256, paths, files, True, self.corpus))

    def _stem(self, packed: Packed) -> str:
        """The name of the file or folder that is unpacked."""
        return self.name if self.corpus is not None or self.config.name else packed.stem

    def _target(self, where: str, one: bool, packed: Packed) -> str:
        """The path of an unpacked file: of a single file or a known corpus, without folders."""
        if self.corpus is None and not one:
            return where
        name = safe_name(where.rpartition("/")[2])
        return self._stem(packed) if one and (self.corpus or self.config.name or not name) else name

    def _check_known(self, folder: Path) -> None:
        """Check unpacked files against what is known of them.

        Raises:
            DownloadError: one of them is another file.
        """
        for file in self.known_files:
            if not file.member:
                continue
            path = folder / file.member
            size = path.stat().st_size
            wrong = (
                f"has {size:,} bytes, not {file.size:,}"
                if file.size is not None and size != file.size
                else ("has another SHA-256" if file.sha256 not in (None, sha256_of(path)) else "")
            )
            if wrong:
                raise BadArchiveError(
                    f"{self.url}: the server sent another file: {file.member} in it {wrong}.\n"
                    "See corpora/README.md; --no-unpack stores it as it is."
                )

    def _finish(self, fetched: Fetched) -> Fetched:
        """Record a result, so that the next fetch recognises it."""
        write_record(self._record, self.folder, fetched, self.config.unpack)
        for file in fetched.files[:3]:
            self.notice(f"{file.path}: {file.num_bytes:,} bytes, SHA-256 {file.sha256}")
        if len(fetched.files) > 3:
            self.notice(f"and {len(fetched.files) - 3:,} more files in {fetched.paths[0]}")
        return fetched
