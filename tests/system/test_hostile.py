"""Nothing gets in: damaged files, files that would run code or eat the machine, old files."""

from __future__ import annotations

import io
import json
import random
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from charlstm.errors import CheckpointError
from charlstm.format.checkpoint import load_checkpoint
from charlstm.inference.language_model import LanguageModel
from tests.canary import entry, pickled_canary
from tests.system.conftest import Count, Record, lively
from tests.zygote import Child, Zygote

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(scope="session")
def donors(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory, text: str) -> list[Path]:
    """Checkpoints of two runs whose shapes are the same."""
    folder = tmp_path_factory.mktemp("donors")
    (folder / "play.txt").write_text(text, "utf-8")
    for seed in (1, 2):
        child = zygote.run(
            "train", "play.txt", "--name", seed, *lively(epochs=1, seed=seed), "--quiet", cwd=folder
        )
        assert child.code == 0, child.errors
    return [folder / "checkpoints" / str(n) / f"{k}.npz" for n in (1, 2) for k in ("last", "best")]


def damaged(path: Path, donors: list[Path], chance: random.Random) -> bytes:
    """A checkpoint's bytes with something wrong; sometimes nothing is."""
    content = bytearray(path.read_bytes())
    other = chance.choice(donors).read_bytes()
    place = chance.randrange(len(content))
    length = chance.choice((1, 4, 100, 5000))
    match chance.choice(
        ("flip", "flips", "cut", "grow", "zero", "splice", "move", "swap", "entry")
    ):
        case "flip":
            content[place] ^= 1 << chance.randrange(8)
        case "flips":
            for _ in range(chance.randrange(2, 50)):
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        case "cut":
            del content[place:]
        case "grow":
            content += other[:length]
        case "zero":
            content[place : place + length] = bytes(len(content[place : place + length]))
        case "splice":
            content[place:] = other[place:]
        case "move":
            content[place:place] = other[place : place + length]
        case "swap":
            half = len(content) // 2
            content = content[half:] + content[:half]
        case "entry":
            return with_an_entry_of(path, chance.choice(donors), chance)
    return bytes(content)


def with_an_entry_of(path: Path, donor: Path, chance: random.Random) -> bytes:
    """A well-formed archive, every CRC right, with one entry from another checkpoint."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as own, zipfile.ZipFile(donor) as other:
        chosen = chance.choice(own.namelist())
        with zipfile.ZipFile(out, "w") as archive:
            for name in own.namelist():
                source = other if name == chosen and name in other.namelist() else own
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), source.read(name))
    return out.getvalue()


def test_4_a_damaged_file_is_never_believed(
    zygote: Zygote, donors: list[Path], tmp_path: Path, count: Count, record: Record
) -> None:
    files, chance = count("damaged", 400, 10_000), random.Random(4)
    path = tmp_path / "x.npz"
    whole = {donor: load_checkpoint(donor) for donor in donors}
    refused = 0
    for number in range(files):
        donor = donors[number % len(donors)]
        path.write_bytes(damaged(donor, donors, chance))
        try:
            found = load_checkpoint(path)
            LanguageModel.from_checkpoint(path, found)
        except CheckpointError as error:
            assert "x.npz" in str(error)
            refused += 1
            continue
        # Then it is one of those that were saved, to the bit.
        assert any(
            found.meta == good.meta
            and found.arrays.keys() == good.arrays.keys()
            and all(np.array_equal(found.arrays[k], good.arrays[k]) for k in good.arrays)
            for good in whole.values()
        )
    assert refused > 0.5 * files
    programs = count("damaged_programs", 6, 200)
    for number in range(programs):
        path.write_bytes(damaged(donors[0], donors, chance))
        child = zygote.run(("sample", "info", "eval")[number % 3], path, cwd=tmp_path)
        check_refused(child, possible=(0, 1))
    record(
        4,
        f"{files} files: {refused} refused, {files - refused} loaded as they were saved, 0 changed "
        f"unseen; {programs} given to the program, 0 tracebacks, 0 signals",
    )


def check_refused(child: Child, possible: tuple[int, ...] = (1,)) -> None:
    """The program ended in a documented way."""
    assert child.code in possible, child.errors
    assert "Traceback" not in child.errors
    assert "fault of charlstm" not in child.errors
    if child.code:
        assert len(child.errors[child.errors.index("Error:") :].strip().splitlines()) <= 2


def repacked(donor: Path, changes: dict[str, bytes | None]) -> bytes:
    """A checkpoint with entries replaced, added, or (None) left out."""
    out = io.BytesIO()
    with zipfile.ZipFile(donor) as own, zipfile.ZipFile(out, "w") as archive:
        for name in own.namelist():
            if name not in changes:
                archive.writestr(name, own.read(name))
        for name, content in changes.items():
            if content is not None:
                archive.writestr(name, content)
    return out.getvalue()


def disguises(donor: Path, canary: Path) -> dict[str, bytes]:
    """Files that would run code, or write elsewhere, if they were read in the usual ways."""
    found: dict[str, bytes] = {}
    for protocol in range(6):
        found[f"pickle {protocol}"] = pickled_canary(canary, protocol)
    name = "model/head.bias.npy"
    for protocol in range(2, 6):
        payload = pickled_canary(canary, protocol)
        found[f"object array {protocol}"] = repacked(donor, {name: entry("'|O'", data=payload)})
        found[f"object meta {protocol}"] = repacked(
            donor, {"meta.npy": entry("'|O'", data=payload)}
        )
    for descr in (
        "[('a', '|O')]", "'|O8'", "('|O', (2,))", "'<U4'", "'|S9'", "'<f4,<i4'", "'>f4'", "'<c8'",
        "'<M8[s]'", "'|V8'", "'|b1'", "'<f2'", "'<i4'",
    ):  # fmt: skip
        found[f"type {descr}"] = repacked(donor, {name: entry(descr, data=bytes(64))})
    call = f"__import__('os').mkdir({str(canary)!r})"
    found["code in a header"] = repacked(donor, {name: entry(call)})
    found["code in a shape"] = repacked(donor, {name: entry("'<f4'", f"({call},)", bytes(4))})
    found["code in a key"] = repacked(
        donor, {name: entry("'<f4'", data=bytes(4), extra=f", 'x': {call}")}
    )
    for bad in (
        "../model/x.npy", "/tmp/x.npy", "model/../../x.npy", "C:\\x.npy", "model/x.npy\n",
        "model/.npy", "model//x.npy", "model/x.py", "__init__.py", "data.pkl", "model/x",
        "meta.npy.npy",
    ):  # fmt: skip
        found[f"entry {bad!r}"] = repacked(donor, {bad: entry("'<f4'", data=bytes(4))})
    found["no meta"] = repacked(donor, {"meta.npy": None})
    found["python"] = f"import os\nos.mkdir({str(canary)!r})\n".encode()
    found["python in a zip"] = repacked(donor, {"__main__.py": b"raise SystemExit(7)"})
    found["a zip in a zip"] = repacked(donor, {name: donor.read_bytes()})
    for protocol in range(3):  # as torch saves
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("archive/data.pkl", pickled_canary(canary, protocol))
            archive.writestr("archive/version", b"3\n")
        found[f"a torch file {protocol}"] = out.getvalue()
    later = bytearray(entry("'<f4'", data=bytes(4)))
    later[6] = 2
    found["a later array format"] = repacked(donor, {name: bytes(later)})
    found["a tar"] = b"x" * 257 + b"ustar" + bytes(1000)
    return found


def test_5_a_file_never_runs_code(
    zygote: Zygote, donors: list[Path], tmp_path: Path, record: Record
) -> None:
    canary = tmp_path / "canary"
    corpus = disguises(donors[1], canary)
    assert len(corpus) >= 50
    path = tmp_path / "x.npz"
    before = set(Path("/tmp").glob("x.npy"))
    for name, content in corpus.items():
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            LanguageModel.load(path)
        assert not canary.exists(), name
    for command in ("sample", "info", "eval"):
        path.write_bytes(corpus["object meta 4"])
        check_refused(zygote.run(command, path, cwd=tmp_path))
    path.unlink()
    path.symlink_to("/dev/zero")  # which would be read without end
    check_refused(zygote.run("sample", path, cwd=tmp_path))
    assert set(Path("/tmp").glob("x.npy")) == before
    assert not canary.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.npz"]
    record(5, f"{len(corpus) + 1} disguises refused, the canary untouched")


def bombs(donor: Path, entries: int) -> dict[str, bytes]:
    """Small files that claim to be large."""
    found: dict[str, bytes] = {}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.npy", bytes(200_000_000))
    found["200 MB deflated"] = out.getvalue()
    name = "model/head.bias.npy"
    for shape in ("(1099511627776,)", "(1048576, 1048576)", "(-1,)", "(4611686018427387904, 4)"):
        found[f"shape {shape}"] = repacked(donor, {name: entry("'<f4'", shape, bytes(64))})
    found["a long header"] = repacked(donor, {name: entry("'<f4'", f"({'1,' * 30_000})", bytes(4))})
    found["a JSON of 1 GB"] = repacked(donor, {"meta.npy": entry("'|u1'", "(1073741824,)", b"{}")})
    deep = b"[" * 1_000_000
    found["a deep JSON"] = repacked(donor, {"meta.npy": entry("'|u1'", f"({len(deep)},)", deep)})
    number = b'{"format": ' + b"9" * 1_000_000 + b"}"
    found["a long number"] = repacked(
        donor, {"meta.npy": entry("'|u1'", f"({len(number)},)", number)}
    )
    whole = bytearray(donor.read_bytes())
    claimed = bytearray(whole)
    claimed[-14:-10] = b"\xff\xff\xff\xff"
    found["65,535 entries claimed"] = bytes(claimed)
    claimed = bytearray(whole)
    claimed[-10:-6] = struct.pack("<L", 0x7FFFFFFF)
    found["a directory of 2 GB claimed"] = bytes(claimed)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number_ in range(entries):
            archive.writestr(zipfile.ZipInfo(f"model/{number_}.npy"), b"")
    found[f"{entries} entries"] = out.getvalue()
    return found


def test_6_a_file_never_eats_the_machine(
    zygote: Zygote, donors: list[Path], tmp_path: Path, count: Count, record: Record
) -> None:
    corpus = bombs(donors[1], count("entries", 5_000, 1_000_000))
    path = tmp_path / "x.npz"
    for name, content in corpus.items():
        path.write_bytes(content)
        for command in ("sample", "info"):
            child = zygote.run(command, path, cwd=tmp_path, memory_limit=50 << 20)
            check_refused(child)
            assert "out of memory" not in child.errors, name
            assert "x.npz" in child.errors
    record(6, f"{len(corpus)} files refused with 50 MB of memory to spare, no more")


def test_the_limit_of_memory_is_real(zygote: Zygote, donors: list[Path], tmp_path: Path) -> None:
    """The test above could not fail if the limit did not bite."""
    limited = zygote.run("sample", donors[1], cwd=tmp_path, memory_limit=4096)
    assert limited.code != 0
    assert zygote.run("sample", donors[1], cwd=tmp_path, memory_limit=200 << 20).code == 0


def test_18_old_checkpoints(tmp_path: Path, record: Record) -> None:
    files = sorted(DATA.glob("version-*.npz"))
    assert [path.name for path in files] == ["version-1.npz"]
    for path in files:
        expected = json.loads(path.with_suffix(".json").read_text("utf-8"))
        model = LanguageModel.load(path)
        # Greedy, and far enough from ties that rounding does not matter.
        assert "".join(model.generate("The ", temperature=0.0, length=40)) == expected["text"]
        assert model.score(expected["score_of"]).nats_per_char == pytest.approx(
            expected["nats_per_char"], abs=1e-4
        )
        # And training goes on from it.
        run = tmp_path / "checkpoints" / "old"
        run.mkdir(parents=True)
        shutil.copy(path, run / "last.npz")
        (tmp_path / "old.txt").write_text(expected["corpus"], "utf-8")
        result = subprocess.run(
            [sys.executable, "-m", "charlstm", "train", "--resume", "old", "old.txt", "--epochs",
             "25", "--quiet"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
    record(18, f"{len(files)} released format: loads, writes the same text, goes on")
