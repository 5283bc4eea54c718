"""Any text in, safe text out, and odd places for both."""

from __future__ import annotations

import bz2
import codecs
import gzip
import itertools
import json
import lzma
import os
import pty
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlstm.config import Config
from charlstm.errors import CharlstmError
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from charlstm.training.setup import new_run
from tests.conftest import read_terminal
from tests.system.conftest import SHAPE, Count, Record, lively
from tests.text.test_reading import as_read, reference
from tests.zygote import Zygote, wait_until

TINY = Config().override(
    {"hidden_size": 4, "maxlen": 5, "batch_size": 2, "epochs": 1, "precision": "float32",
     "kernel": "torch", "sample_every": 0, "threads": 1}
)  # fmt: skip


def train_on(content: bytes, folder: Path, **changes: Any) -> str:
    """Start a run on some bytes and take two steps; what came of it."""
    path = folder / "x.txt"
    path.write_bytes(content)
    runs = folder / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    try:
        trainer = new_run(
            [str(path)], TINY.override(changes), runs_dir=runs, name="x", notice=lambda _text: None
        )
        for event in itertools.islice(trainer.train(), 2):
            assert event is not None
        trainer.request_stop()
    except CharlstmError as error:
        assert 1 <= len(str(error).splitlines()) <= 2, str(error)
        assert not (runs / "x").exists() or (runs / "x" / "last.npz").exists()
        return "refused"
    return "trained"


SPECIAL: dict[str, bytes] = {
    "empty": b"",
    "one byte": b"a",
    "one newline": b"\n",
    "two bytes": b"ab",
    "invalid at a chunk's edge": b"a" * (2**20 - 1) + b"\xe2\x82",
    "split character at a chunk's edge": b"a" * (2**20 - 1) + "\u20ac".encode() + b"b" * 9,
    "lone surrogates": b"ab\xed\xa0\x80cd" * 9,
    "UTF-16": "the light\n".encode("utf-16") * 1 + "low\n".encode("utf-16-le") * 9,
    "UTF-16 BE": codecs.BOM_UTF16_BE + ("the light is low\n" * 9).encode("utf-16-be"),
    "UTF-16 without a mark": ("the light is low\n" * 9).encode("utf-16-le"),
    "UTF-16 cut in a unit": codecs.BOM_UTF16_LE + "the light\n".encode("utf-16-le")[:-1],
    "UTF-32": codecs.BOM_UTF32_LE + ("the light is low\n" * 9).encode("utf-32-le"),
    "UTF-8 with a mark": codecs.BOM_UTF8 + b"the light is low\n" * 9,
    "a mark in the middle": b"the light" + codecs.BOM_UTF8 + b" is low\n" * 9,
    "NUL": b"the light\0is low\n" * 9,
    "late NUL": b"a" * 20_000 + b"\0" + b"b" * 9,
    "CR only": b"the light\ris low\r" * 9,
    "CR at a chunk's edge": b"a" * (2**20 - 1) + b"\r\n" + b"b" * 99,
    "1 MB in one line": b"abcdefgh" * 2**17,
    "50,000 distinct characters": "".join(map(chr, range(0x4E00, 0x4E00 + 50_000))).encode(
        "utf-8", "ignore"
    ),
    "combining marks": ("e\u0301\u0323\u0302" * 50).encode(),
    "emoji sequences": ("\U0001f469\u200d\U0001f680\U0001f1e9\U0001f1ea\ufe0f" * 20).encode(),
    "controls": bytes(range(1, 128)) * 3,
    "every byte": bytes(range(256)) * 4,
    "a gzip's first bytes": b"\x1f\x8b\x08\x00" + b"junk" * 9,
    "a bzip2's first bytes": b"BZh91AY&SY" + b"junk" * 9,
    "an xz's first bytes": b"\xfd7zXZ\x00" + b"junk" * 9,
    "the letters BZh": b"BZh, she said.\n" * 9,
    "two marks": codecs.BOM_UTF8 * 2 + b"the light is low\n" * 9,
    "a PDF in ASCII": b"%PDF-1.4\n1 0 obj\n<< >>\nendobj\n",
}
TRAINED = {
    "two bytes", "one byte", "split character at a chunk's edge", "UTF-16", "UTF-16 BE", "UTF-32",
    "UTF-8 with a mark", "a mark in the middle", "CR only", "CR at a chunk's edge",
    "1 MB in one line", "50,000 distinct characters", "combining marks", "emoji sequences",
    "controls", "the letters BZh", "two marks", "a bzip2's first bytes",
}  # fmt: skip


def test_12_any_bytes_as_a_corpus(tmp_path: Path, count: Count, record: Record) -> None:
    found = {name: train_on(content, tmp_path) for name, content in SPECIAL.items()}
    assert {name for name, what in found.items() if what == "trained"} == TRAINED
    texts = count("texts", 150, 10_000)
    outcomes = {"trained": 0, "refused": 0}
    pieces = st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.text(max_size=60).map(lambda text: text.encode("utf-16", "surrogatepass")),
    )

    @settings(
        max_examples=texts, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(
        pieces,
        st.sampled_from([bytes, bytes, bytes, gzip.compress, bz2.compress, lzma.compress]),
        st.sampled_from(
            [{}, {"encoding": "latin-1"}, {"encoding_errors": "replace"}, {"keep_newlines": True},
             {"encoding": "utf-16"}, {"encoding_errors": "ignore", "lowercase": True},
             {"min_count": 2}, {"encoding_errors": "replace", "min_count": 2},
             {"stateless": True, "targets": "last", "val_fraction": 0.0}]
        ),
    )  # fmt: skip
    def anything(content: bytes, pack: Callable[[bytes], bytes], changes: dict[str, Any]) -> None:
        config = TINY.override(changes).text
        try:
            text = as_read(reference(content, config), config)
        except ValueError:
            text = ""
        # Two characters are the least that a model can be trained on.
        expected = "trained" if len(text) >= 2 else "refused"
        assert train_on(pack(content), tmp_path, **changes) == expected
        outcomes[expected] += 1

    anything()
    assert min(outcomes.values()) > 0
    record(
        12, f"{len(SPECIAL)} special texts and {sum(outcomes.values())} made at random: "
        f"{outcomes['trained']} trained on, {outcomes['refused']} refused in one or two lines",
    )  # fmt: skip


EVIL = "\x1b[2J\x1b]52;c;aGk=\x07\x9b31m\u202eabc\u2066\x08\x7f\u061c"
UNSAFE = [chr(c) for c in (*range(9), *range(11, 13), *range(14, 32), *range(127, 160))] + list(
    "\u061c\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


@pytest.fixture
def evil(zygote: Zygote, folder: Path) -> Path:
    """A folder with runs whose text, names and metadata would steer a terminal."""
    name = f"play{EVIL}.txt".replace("\x1b]52;c;aGk=\x07", "")
    (folder / name).write_text((f"the light {EVIL} is low\n") * 200, "utf-8")
    for options in ([], ["--direction", "both"]):
        child = zygote.run(
            "train", name, *SHAPE, "--epochs", 3, "--name", f"x{len(options)}", *options, cwd=folder
        )
        assert child.code == 0, child.errors
    run = folder / "checkpoints" / f"odd{EVIL}"
    shutil.copytree(folder / "checkpoints" / "x0", run)
    for path in run.glob("*.npz"):
        found = load_checkpoint(path)
        meta = json.loads(json.dumps(found.meta))
        meta["charlstm"] = meta["corpus"]["sources"][0] = meta["corpus"][EVIL] = EVIL
        path.unlink()
        save_checkpoint(path, meta, found.arrays)
    return folder


def on_a_terminal(arguments: list[str], folder: Path) -> str:
    """Everything that a command shows on a terminal."""
    primary, secondary = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "charlstm", *arguments],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=secondary, stderr=secondary,
        env={**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"},
    ):  # fmt: skip
        os.close(secondary)
        shown = read_terminal(primary)
    os.close(primary)
    return shown.decode("utf-8", "replace")


def test_13_output_is_safe_to_look_at(evil: Path, record: Record) -> None:
    odd = f"checkpoints/odd{EVIL}"
    (text,) = (path.name for path in evil.glob("play?*.txt") if path.name != "play.txt")
    commands = [
        ["sample", "x0", "--length", "400", "--temp", "1.5"],
        ["sample", odd, "-n", "2", "--length", "300"],
        ["sample", "x0", "--json", "--length", "200"],
        ["sample", "x0", "--prompt", f"a{EVIL}"],
        ["fill", "x2", f"the li_ht {EVIL} __"],
        ["eval", odd], ["eval", "x0", text], ["info", odd], ["info", odd, "--json"], ["runs"],
        ["runs", "--json"], ["train", text, *SHAPE, "--epochs", "2", "--sample-every", "20"],
        ["train", "--resume", odd, "--epochs", "4"], ["sample", f"no{EVIL}"],
        ["train", f"none{EVIL}"], ["train", text, "--name", EVIL], ["train", text, "--cell", EVIL],
        ["--" + EVIL], [EVIL],
    ]  # fmt: skip
    for arguments in commands:
        shown = on_a_terminal(arguments, evil)
        assert shown
        assert "Traceback" not in shown, shown
        assert not [c for c in UNSAFE if c in shown], (arguments, shown)
    # Into a pipe it goes as it is.
    piped = subprocess.run(
        [sys.executable, "-m", "charlstm", "sample", "x0", "--length", "1", "--prompt", EVIL],
        cwd=evil, capture_output=True, check=True,
    )  # fmt: skip
    assert piped.stdout.decode().startswith(EVIL)
    record(13, f"{len(commands)} commands on a terminal, exact text into a pipe")


def test_14_closed_and_full_streams(zygote: Zygote, evil: Path, record: Record) -> None:
    commands: list[tuple[list[Any], tuple[str, ...]]] = [
        (["sample", "x0", "--length", 2000], ("broken", "full", "no stdout")),
        (["sample", "x0", "-n", 3, "--json"], ("broken", "full", "no stdout")),
        (["sample", "x0", "--prompt-file", "-"], ("no stdin",)),
        (["fill", "x2", "the li_ht"], ("broken", "full", "no stdout")),
        (["eval", "x0"], ("broken", "full", "no stdout")),
        (["eval", "x0", "-"], ("no stdin",)),
        (["info", "x0"], ("broken", "full", "no stdout")),
        (["runs"], ("broken", "full", "no stdout")),
        (["runs", "--json"], ("broken", "full", "no stdout")),
        (["-h"], ("broken", "full", "no stdout")),
        (["train", "-h"], ("broken", "full", "no stdout")),
        (["train", "play.txt", *SHAPE, "--epochs", 1, "--json"], ("broken", "full", "no stdout")),
        (["train", "play.txt", *SHAPE, "--epochs", 1], ("no stderr",)),
        (["train", "-", *SHAPE], ("no stdin",)),
        (["sample", "x0"], ("no stderr",)),
    ]
    settings_of: dict[str, dict[str, Any]] = {
        "broken": {"stdout": "broken"}, "full": {"stdout": "/dev/full"},
        "no stdout": {"closed": [1]}, "no stdin": {"closed": [0]}, "no stderr": {"closed": [2]},
    }  # fmt: skip
    expected = {"broken": 0, "full": 1, "no stdout": 1, "no stdin": 1, "no stderr": 0}
    done = 0
    for arguments, ways in commands:
        for way in ways:
            child = zygote.run(*arguments, cwd=evil, **settings_of[way])
            assert child.code == expected[way], (arguments, way, child.code, child.errors)
            assert "Traceback" not in child.errors
            assert "fault of charlstm" not in child.errors
            done += 1
    for device in ("/dev/full", "/dev/null", "/dev/zero"):
        assert stat.S_ISCHR(os.stat(device).st_mode)
    record(14, f"{done} commands with a stream closed, broken or full")


def test_15_odd_places(
    zygote: Zygote, folder: Path, record: Record, count: Count, request: pytest.FixtureRequest
) -> None:
    def train(name: str, *more: Any, **options: Any) -> Any:
        return zygote.run(
            "train", "play.txt", "--name", name, *lively(epochs=1), "--quiet", *more, cwd=folder,
            **options,
        )  # fmt: skip

    done = 0
    for name in ("with spaces", "Grüße 世界", "a" * 200, "'quoted' $HOME `x`", "-x", "a" * 255):
        child = train(name)
        bad = name.startswith("-") or len(name) > 200
        assert child.code == (2 if bad else 0), child.errors
        assert (folder / "checkpoints" / name).exists() != bad
        done += 1
    for target in ("best.npz", "last.npz", "metrics.jsonl"):
        for kind in ("fifo", "device", "link", "folder"):
            run = folder / "checkpoints" / f"{target}-{kind}"
            assert train(run.name).code == 0
            (run / target).unlink()
            if kind == "fifo":
                os.mkfifo(run / target)
            elif kind == "folder":
                (run / target).mkdir()
            else:
                (run / target).symlink_to("/dev/full" if kind == "device" else folder / "play.txt")
            child = zygote.run("train", "--resume", run, "--epochs", 2, "--quiet", cwd=folder)
            assert child.code == 1, (target, kind, child.errors)
            assert f"{target} is not a regular file" in child.errors
            done += 1
    assert (folder / "play.txt").read_text("utf-8").strip()
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)

    # A folder that vanishes while the run is on.
    for _ in range(count("vanished", 1, 10)):
        child = zygote.start(
            "train", "play.txt", "--name", "gone", *lively(epochs=10**6), "--quiet", cwd=folder
        )
        run = folder / "checkpoints" / "gone"
        wait_until((run / "best.npz").exists)
        run.rename(folder / "elsewhere")
        assert child.wait() == 1
        assert len(child.errors.strip().splitlines()) <= 2, child.errors
        assert "checkpoints/gone" in child.errors
        load_checkpoint(folder / "elsewhere" / "best.npz")
        shutil.rmtree(folder / "elsewhere")
        done += 1

    for mask in (0o077, 0o027, 0o002):
        assert train(f"mask-{mask:o}", umask=mask).code == 0
        for path in (folder / "checkpoints" / f"mask-{mask:o}").iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask, path
        done += 1

    mount: Callable[..., Path] = request.getfixturevalue("tmpfs")
    frozen = mount(1 << 20)
    assert train("x", "--runs-dir", frozen).code == 0
    subprocess.run(["mount", "-o", "remount,ro", str(frozen)], check=True)
    for child in (
        train("y", "--runs-dir", frozen),
        zygote.run("train", "--resume", frozen / "x", "--epochs", 2, "--quiet", cwd=folder),
    ):
        assert child.code == 1
        assert "Read-only file system" in child.errors
        assert len(child.errors.strip().splitlines()) <= 2
        done += 1
    assert zygote.run("sample", frozen / "x", cwd=folder).code == 0
    record(15, f"{done} odd places and names")
