from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlstm.errors import CheckpointError
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from charlstm.format.migrations import FORMAT
from tests.canary import entry, pickled_canary

META = {"note": "grüße", "number": 1 / 3}
ARRAYS: dict[str, Any] = {
    "model/head.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "model/head.bias": np.zeros(3, dtype=np.float32),
    "optimizer/head.bias.step": np.array(7.0, dtype=np.float32),
    "rng/dropout": np.arange(9, dtype=np.uint8),
    "carry/0.h": np.zeros((0, 4), dtype=np.float32),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.npz"
    save_checkpoint(path, META, ARRAYS)
    return path


def assert_same(path: Path) -> None:
    checkpoint = load_checkpoint(path)
    assert {k: checkpoint.meta[k] for k in META} == META
    assert set(checkpoint.arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert checkpoint.arrays[name].dtype == array.dtype
        assert checkpoint.arrays[name].shape == array.shape
        np.testing.assert_array_equal(checkpoint.arrays[name], array)


def test_round_trip(path: Path) -> None:
    assert_same(path)
    assert set(load_checkpoint(path, kinds=frozenset({"model"})).part("model")) == {
        "head.weight", "head.bias",
    }  # fmt: skip


def test_plain_numpy_opens_it(path: Path) -> None:
    with np.load(path, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["model/head.weight"], ARRAYS["model/head.weight"])
        assert json.loads(archive["meta"].tobytes())["note"] == "grüße"


def test_equal_contents_are_equal_files(path: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "y.npz", META, ARRAYS)
    assert path.read_bytes() == (tmp_path / "y.npz").read_bytes()


def check_damaged(path: Path, data: bytes) -> None:
    """Damaged bytes are refused in one clear error, or load as they were."""
    path.write_bytes(data)
    try:
        assert_same(path)
    except CheckpointError as error:
        assert str(path) in str(error)  # noqa: PT017
        assert len(str(error).splitlines()) <= 2  # noqa: PT017


def test_every_single_flipped_byte(path: Path) -> None:
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        check_damaged(path, bytes(damaged))


def test_every_truncation(path: Path) -> None:
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(CheckpointError):
            load_checkpoint(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.data())
def test_spliced_files(path: Path, data: st.DataObject) -> None:
    whole = path.with_suffix(".whole")
    if not whole.exists():
        shutil.copy(path, whole)
    content = whole.read_bytes()
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
    check_damaged(path, content[:start] + data.draw(st.binary(max_size=40)) + content[end:])


def rewrite(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """A zip file with some entries replaced, their CRCs right."""
    with zipfile.ZipFile(path) as old:
        kept = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, content in {**kept, **entries}.items():
            new.writestr(name, content)


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_another_file_s_entry_is_refused(path: Path) -> None:
    rewrite(path, {"model/head.bias.npy": npy(np.ones(3, dtype=np.float32))})
    with pytest.raises(CheckpointError, match=r"'model/head\.bias' is not the one"):
        load_checkpoint(path)


def test_compressed_entries_are_refused(path: Path) -> None:
    rewrite(path, {}, zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "name", ["../evil.npy", "/etc/x.npy", "model/../x.npy", "x", "other/a.npy"]
)
def test_odd_entry_names_are_refused(path: Path, name: str) -> None:
    rewrite(path, {name: npy(np.zeros(1, dtype=np.float32))})
    with pytest.raises(CheckpointError, match="it has an entry"):
        load_checkpoint(path)


@pytest.mark.parametrize("protocol", range(6))
def test_the_canary_would_sing(tmp_path: Path, protocol: int) -> None:
    """What is refused below does run code where a reader is careless."""
    canary, file = tmp_path / "canary", tmp_path / "x.pkl"
    file.write_bytes(pickled_canary(canary, protocol))
    subprocess.run([sys.executable, "-m", "pickle", str(file)], check=True)
    assert canary.is_dir()


def test_no_code_is_run(path: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    objects = entry("'|O'", data=pickled_canary(canary))
    rewrite(path, {"model/head.bias.npy": objects})
    with pytest.raises(CheckpointError, match="unexpected type"):
        load_checkpoint(path)
    path.write_bytes(pickled_canary(canary))
    with pytest.raises(CheckpointError, match="not an intact checkpoint"):
        load_checkpoint(path)
    assert not canary.exists()


def test_a_claimed_shape_must_fit(path: Path) -> None:
    content = npy(np.zeros(3, dtype=np.float32))
    huge = content.replace(b"(3,), }           ", b"(1099511627776,), }")
    assert len(huge) != len(content) or huge != content
    rewrite(path, {"model/head.bias.npy": huge})
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


def test_too_many_entries(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(5000):
            archive.writestr(f"model/{number}.npy", b"")
    with pytest.raises(CheckpointError, match="5000 entries"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"x", b"hello" * 100, b"PK\x03\x04" + bytes(100)])
def test_what_is_no_checkpoint(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not an intact checkpoint"):
        load_checkpoint(path)


def test_a_newer_format_says_so(path: Path) -> None:
    meta = {**load_checkpoint(path).meta, "format": FORMAT + 1}
    rewrite(path, {"meta.npy": npy(np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8))})
    with pytest.raises(CheckpointError, match=f"format {FORMAT + 1}.*\n.*newer charlstm"):
        load_checkpoint(path)


@pytest.mark.parametrize("text", ["[]", "{", '{"format": true}', "[" * 100_000, '"x"', "null"])
def test_odd_meta(path: Path, text: str) -> None:
    rewrite(path, {"meta.npy": npy(np.frombuffer(text.encode(), dtype=np.uint8))})
    with pytest.raises(CheckpointError, match="not an intact checkpoint"):
        load_checkpoint(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        load_checkpoint(tmp_path / "none")
    with pytest.raises(CheckpointError, match="not a regular file"):
        load_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="not a regular file"):
        load_checkpoint(Path("/dev/zero"))


def test_save_replaces_nothing_but_files(tmp_path: Path) -> None:
    link = tmp_path / "link.npz"
    link.symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match="not a regular file"):
        save_checkpoint(link, META, ARRAYS)
    assert link.is_symlink()
    assert os.listdir(tmp_path) == ["link.npz"]


def test_a_failed_save_leaves_the_old_file_and_no_litter(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(CheckpointError, match="No space left") as caught:
        save_checkpoint(path, {"note": "new"}, {})
    assert str(path) in str(caught.value)
    assert "MB are free" in str(caught.value)
    monkeypatch.undo()
    assert_same(path)
    assert os.listdir(path.parent) == [path.name]


def test_permissions(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    old = os.umask(0o027)
    try:
        save_checkpoint(path, META, ARRAYS)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o600)
        save_checkpoint(path, META, ARRAYS)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(old)
