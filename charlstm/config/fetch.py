"""Options of downloading a text."""

from __future__ import annotations

import re

from charlstm.config.fields import Range, Section, option, section
from charlstm.config.sizes import bytes_of
from charlstm.errors import ConfigError


@section
class FetchConfig(Section):
    """Options of downloading a text: where it is stored, and how it is checked."""

    folder: str = option(
        "corpora", "Folder to store it in; it is created.", group="Storage", metavar="FOLDER"
    )
    name: str | None = option(
        None,
        "Name of the file.",
        group="Storage",
        shown_default="the corpus's, or that of the URL",
    )
    overwrite: bool = option(False, "Replace files that exist.", group="Storage", negatable=False)
    unpack: bool = option(True, "Unpack .zip, .tar, .gz, .bz2 and .xz.", group="Storage")
    sha256: str | None = option(
        None,
        "SHA-256 that the downloaded file must have, in hexadecimal, before unpacking.",
        group="Checks",
        metavar="HASH",
    )
    max_size: str = option(
        "20GB",
        "Largest size, downloaded or unpacked: 500MB, 20GB, ...",
        group="Checks",
        metavar="SIZE",
    )
    allow_http: bool = option(
        False,
        "Follow a redirection from https to http, which is not encrypted.",
        group="Checks",
        negatable=False,
    )
    timeout: float = option(
        30.0,
        "Seconds without any data after which the connection counts as lost.",
        group="Checks",
        within=Range(0, 86400, open_low=True),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.folder:
            raise ConfigError("--folder '' is empty; give a folder, such as . for the current one.")
        if self.name is not None and not is_file_name(self.name):
            raise ConfigError(
                f"--name {self.name!r} is not the name of a file; --folder gives its folder."
            )
        if self.sha256 is not None:
            if not re.fullmatch(r"[0-9a-fA-F]{64}", self.sha256):
                raise ConfigError(
                    f"--sha256 {self.sha256!r} is not a SHA-256; it has 64 hexadecimal digits."
                )
            object.__setattr__(self, "sha256", self.sha256.lower())
        if bytes_of(self.max_size) is None:
            raise ConfigError(
                f"--max-size {self.max_size!r} is not a size; give one such as 500MB or 20GB."
            )


def is_file_name(name: str) -> bool:
    """Whether a name can be that of a file in a folder, without a path, and is not hidden."""
    return (
        not re.search(r"[/\\\0-\x1f\x7f]", name)
        and not name.startswith(".")
        and 0 < len(name.encode("utf-8", "surrogateescape")) <= 200
    )
