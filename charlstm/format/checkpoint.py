"""The checkpoint: one `.npz` file, checked on load and replaced atomically.

Layout. A zip archive of uncompressed `.npy` entries, which `numpy.load(path)` can open. The file's
size bounds the memory for loading it. `meta` is UTF-8 JSON as a uint8 array; the other entries are
named `kind/name`. `meta["entries"]` holds the SHA-256 of each other entry, so that an entry of
another file is detected even if its CRC is correct.

No data is executed: numpy parses `.npy` headers as literals, and object arrays are rejected.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import stat
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import CheckpointError
from charlstm.format.files import replace_file, retry_while_shared
from charlstm.format.migrations import FORMAT, MIGRATIONS, migrate

_DTYPES = frozenset({"float32", "float64", "int64", "uint8"})
_NAME = re.compile(
    r"(meta|(model|average|best|optimizer|rng|carry)/[A-Za-z0-9_.]{1,100})\.npy", re.ASCII
)
_MAX_ENTRIES = 4096
_END_OF_DIRECTORY = struct.Struct("<4s4H2LH")  # the last record of a zip file
_MAX_HEADER = 4096


class Checkpoint(NamedTuple):
    """The contents of a checkpoint.

    Attributes:
        meta: a JSON object: configuration, tokenizer, progress, ...
        arrays: all other entries by name, such as `model/head.weight`.
    """

    meta: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    def part(self, kind: str) -> dict[str, NDArray[Any]]:
        """The entries `kind/...` by name, without the kind."""
        prefix = kind + "/"
        return {k[len(prefix) :]: v for k, v in self.arrays.items() if k.startswith(prefix)}


def save_checkpoint(path: Path, meta: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically: `path` is either the old file or the complete new one.

    Args:
        path: the file to create or replace.
        meta: a JSON object; `format` and `entries` are added.
        arrays: arrays of float32, float64, int64 or uint8, named `kind/name`.

    Raises:
        CheckpointError: the file cannot be written; the old one is unchanged.
    """
    entries = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    digests = {name: _sha256(array) for name, array in entries.items()}
    full_meta = {"format": FORMAT, **meta, "entries": digests}
    text = json.dumps(full_meta, ensure_ascii=True, allow_nan=False, separators=(",", ":"))

    def write(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            _write_entry(archive, "meta", np.frombuffer(text.encode(), dtype=np.uint8))
            for name, array in entries.items():
                _write_entry(archive, name, array)

    try:
        replace_file(path, write)
    except OSError as error:
        raise CheckpointError(_why_not_saved(path, error)) from error


def _write_entry(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    # With a fixed date, equal contents give equal files.
    info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
    with archive.open(info, "w", force_zip64=array.nbytes > 2**31) as out:
        np.lib.format.write_array(out, array, allow_pickle=False)


def _sha256(array: NDArray[Any]) -> str:
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _why_not_saved(path: Path, error: OSError) -> str:
    text = f"cannot save {path}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        with contextlib.suppress(OSError):
            text += f"; {shutil.disk_usage(path.parent).free / 1e6:,.1f} MB are free there"
    return f"{text}."


def load_checkpoint(path: Path, *, kinds: frozenset[str] | None = None) -> Checkpoint:
    """Read and verify a checkpoint.

    Args:
        path: the file.
        kinds: the kinds of entries to return (such as `{"model"}`); all are verified.

    Raises:
        CheckpointError: the file cannot be opened, is damaged or not a checkpoint, or has a newer
            format.
    """
    with open_checkpoint(path) as file:
        return read_checkpoint(path, file, kinds)


def load_meta(path: Path) -> dict[str, Any]:
    """A checkpoint's `meta` object; other entries are not read.

    Raises:
        CheckpointError: as for `load_checkpoint`, except for damage of other entries.
    """
    with open_checkpoint(path) as file, _damage_reported(path):
        return _read_directory(path, file)[2]


@contextmanager
def open_checkpoint(path: Path) -> Iterator[io.BufferedReader]:
    """A context with the open file; raises `CheckpointError` if that fails."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError(f"{path} is not a regular file.")
        with retry_while_shared(lambda: path.open("rb")) as file:
            yield file
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}.") from error


class _DamagedError(Exception):
    """The file is not a valid checkpoint."""


def read_checkpoint(path: Path, file: IO[bytes], kinds: frozenset[str] | None = None) -> Checkpoint:
    """Read and verify an open checkpoint; `path` is for messages.

    Raises:
        CheckpointError: as for `load_checkpoint`.
    """
    with _damage_reported(path):
        archive, infos, meta = _read_directory(path, file)
        return Checkpoint(meta, _read_arrays(archive, infos, meta, kinds))


@contextmanager
def _damage_reported(path: Path) -> Iterator[None]:
    """A context that converts the errors of a damaged file to `CheckpointError`."""
    try:
        yield
    except _DamagedError as error:
        raise CheckpointError(f"{path} is not an intact checkpoint: {error}.") from error
    # zipfile and numpy raise these for damaged structure, encryption flags and unknown versions.
    except (
        zipfile.BadZipFile,
        ValueError,
        RuntimeError,
        EOFError,
        struct.error,
        OverflowError,
        SyntaxError,
        IndexError,
        KeyError,
        TypeError,
        MemoryError,
    ) as error:
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise CheckpointError(f"{path} is not an intact checkpoint: {reason}.") from error


def _read_directory(
    path: Path, file: IO[bytes]
) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo], dict[str, Any]]:
    """The archive, its entries other than `meta` by file name, and the migrated `meta` object.

    Raises:
        CheckpointError: the format is newer than this version supports.
    """
    size = _check_end(file)
    archive = zipfile.ZipFile(file)
    infos: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        _check_info(info, size, infos)
        infos[info.filename] = info
    if "meta.npy" not in infos:
        raise _DamagedError("it has no meta entry")
    meta = _read_meta(archive, infos.pop("meta.npy"))
    version = meta.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {version}; this charlstm reads up to "
            f"{FORMAT}.\nInstall a newer charlstm to use it."
        )
    if type(version) is not int or version not in MIGRATIONS:
        raise _DamagedError("its format version is not readable")
    return archive, infos, migrate(meta)


def _check_end(file: IO[bytes]) -> int:
    """Check the last record of the zip file before it is used; returns the file's size."""
    size = file.seek(0, os.SEEK_END)
    if size < _END_OF_DIRECTORY.size:
        raise _DamagedError("it is too short")
    file.seek(0)
    if file.read(4) != b"PK\x03\x04":
        raise _DamagedError("it does not begin as one")
    file.seek(size - _END_OF_DIRECTORY.size)
    end = _END_OF_DIRECTORY.unpack(file.read(_END_OF_DIRECTORY.size))
    if end[0] != b"PK\x05\x06" or end[7] != 0:
        raise _DamagedError("its end is missing")
    if not 1 <= end[4] <= _MAX_ENTRIES:
        raise _DamagedError(f"it claims {end[4]} entries")
    if end[5] > _MAX_ENTRIES * 512:
        raise _DamagedError("its directory is too large")
    file.seek(0)
    return size


def _check_info(info: zipfile.ZipInfo, size: int, seen: Mapping[str, Any]) -> None:
    name = info.filename[:80]
    if not _NAME.fullmatch(info.filename) or info.filename in seen:
        raise _DamagedError(f"it has an entry {name!r}")
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise _DamagedError(f"its entry {name!r} is compressed")
    if info.header_offset + info.file_size > size:
        raise _DamagedError(f"its entry {name!r} claims more than the file holds")


def _read_meta(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> dict[str, Any]:
    array = _read_array(archive, info)
    if array.dtype != np.uint8 or array.ndim != 1:
        raise _DamagedError("its meta entry is not text")
    try:
        meta = json.loads(array.tobytes().decode("utf-8"), parse_constant=_no_constant)
    except RecursionError as error:
        raise _DamagedError("its meta entry is nested too deeply") from error
    if not isinstance(meta, dict):
        raise _DamagedError("its meta entry is not an object")
    return meta


def _no_constant(name: str) -> None:
    raise _DamagedError(f"its meta entry holds {name}")


def _read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    # Reading to the end makes zipfile check the CRC.
    data = archive.read(info)
    stream = io.BytesIO(data)
    major, _minor = np.lib.format.read_magic(stream)
    if major != 1:
        raise _DamagedError(f"its entry {info.filename!r} has an unknown array format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=_MAX_HEADER)
    if dtype.name not in _DTYPES or not dtype.isnative or fortran:
        raise _DamagedError(f"its entry {info.filename!r} has the unexpected type {dtype}")
    count = 1
    for side in shape:
        count *= side
    if any(side < 0 for side in shape) or count * dtype.itemsize != len(data) - stream.tell():
        raise _DamagedError(f"its entry {info.filename!r} does not have the size it claims")
    return np.frombuffer(data, dtype=dtype, offset=stream.tell()).reshape(shape)


def _read_arrays(
    archive: zipfile.ZipFile,
    infos: Mapping[str, zipfile.ZipInfo],
    meta: Mapping[str, Any],
    kinds: frozenset[str] | None,
) -> dict[str, NDArray[Any]]:
    digests = meta.get("entries")
    names = {filename.removesuffix(".npy") for filename in infos}
    if not isinstance(digests, dict) or set(digests) != names:
        raise _DamagedError("its entries are not those it lists")
    arrays = {}
    for name in digests:
        array = _read_array(archive, infos[f"{name}.npy"])
        if _sha256(array) != digests[name]:
            raise _DamagedError(f"its entry {name!r} is not the one that was saved")
        if kinds is None or name.partition("/")[0] in kinds:
            arrays[name] = array
    return arrays
