"""How processes that train together come to hold the same: the leader's run, in each of them.

The leader sets up the run by itself, as a single process would. Then it passes on what it has:
the configuration, its checkpoint as it lies on disk, and the text's ids. Nobody else reads the
text; ids that lie in a file are mapped from it where it can be seen, and otherwise sent once to
each machine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from charlstm.config import Config
from charlstm.errors import CorpusError, DeviceError
from charlstm.format.checkpoint import read_checkpoint
from charlstm.format.files import replace_file
from charlstm.format.progress import SavedBest
from charlstm.runs.folder import Run
from charlstm.text.cache import cache_folder, map_ids
from charlstm.text.cache_limit import cache_limit, shrink, touch
from charlstm.text.corpus import Corpus
from charlstm.text.tokenizer import CharTokenizer
from charlstm.training.compiling import CompileWatch
from charlstm.training.device import compiled_fault, fastest_count, pick_device, share_threads
from charlstm.training.events import Notice
from charlstm.training.loop import Trainer
from charlstm.training.memory import keep_freed_memory
from charlstm.training.process_group import CHUNK_BYTES, World
from charlstm.training.saving import restore


def lead(world: World, trainer: Trainer, path: Path, notice: Notice) -> float:
    """Let the others take up a run that this process has set up, and go on as one of them.

    Args:
        world: the processes; if their number is not decided yet, that is done here.
        trainer: the run.
        path: the checkpoint that it stands at.
        notice: told how many processes it will be.

    Returns:
        Seconds for which another process has compiled code, and this one has waited.

    Raises:
        DistributedError: another process is gone.
        CorpusError: the ids cannot be had by all.
    """
    if world.size == 1:
        return 0.0
    corpus = trainer.corpus
    facts = {
        "config": trainer.config.to_json(),
        "run": str(trainer.run.folder),
        "corpus": trainer.corpus_meta,
        "tokenizer": corpus.tokenizer.to_json(),
        "sha256": corpus.sha256,
        "fractions": [corpus.val_fraction, corpus.test_fraction],
        "num_chars": len(corpus),
        "mapped": corpus.mapping is not None,
        "path": None if corpus.path is None else str(corpus.path),
        "ids_sha256": hashlib.sha256(corpus.ids.data).hexdigest(),
        "val_chars": trainer.progress.val_chars,
        "saved_best": trainer.saved_best and dataclasses.asdict(trainer.saved_best),
    }
    world.broadcast(json.dumps(facts).encode())
    waited = 0.0
    if trainer.config.train.kernel == "compiled":
        begun = time.monotonic()
        if world.sum([0.0])[0]:
            waited = time.monotonic() - begun
    if world.undecided:
        chosen, few = _settle(world, trainer.config, len(corpus.tokenizer), notice)
        assert few is not None  # the leader is always needed
        world = few
        train = replace(trainer.config.train, processes=chosen)
        trainer.config = replace(trainer.config, train=train)
        share_threads(train.threads, world)
    world.broadcast(path.read_bytes())
    _give_ids(world, corpus)
    trainer.join(world)
    return waited


def follow(world: World) -> Trainer | None:
    """Take up the run that the leader has set up.

    Returns:
        It, or None where fewer processes are faster and this one is not needed.

    Raises:
        DistributedError: another process is gone.
        CharlstmError: what the leader passes cannot be used here.
    """
    facts = json.loads(world.broadcast())
    config = Config.from_json(facts["config"])
    if config.train.kernel == "compiled":  # another machine's, perhaps, where nothing is compiled
        watch = CompileWatch()
        if why := compiled_fault(config.train.precision, watch):
            raise DeviceError(f"--kernel compiled does not work here: {why}\nUse --kernel torch.")
        world.sum([watch.seconds])
    if world.undecided:
        vocab_size = len(CharTokenizer.from_json(facts["tokenizer"]))
        _, few = _settle(world, config, vocab_size, None)
        if few is None:
            return None
        world = few
        config = replace(config, train=replace(config.train, processes=world.size))
    checkpoint = read_checkpoint(Path("the leader's checkpoint"), io.BytesIO(world.broadcast()))
    corpus = _take_ids(world, facts)
    share_threads(config.train.threads, world)
    keep_freed_memory()
    device = pick_device(config.train.device, world.local_rank)
    trainer = Trainer(config, corpus, Run(Path(facts["run"])), device, facts["corpus"])
    restore(trainer, checkpoint)
    trainer.progress.val_chars = facts["val_chars"]
    if facts["saved_best"]:
        trainer.saved_best = SavedBest(**facts["saved_best"])
    trainer.join(world)
    return trainer


def _settle(
    world: World, config: Config, vocab_size: int, notice: Notice | None
) -> tuple[int, World | None]:
    """The fastest number of processes, and their world, for those that are of it."""
    count, speeds = fastest_count(world, config, vocab_size)
    if notice is not None:
        measured = ", ".join(f"{n}: {speed:,.0f}" for n, speed in speeds.items())
        notice(f"--processes auto: {count} (characters per second by processes: {measured})")
    return count, world.first(count)


def _give_ids(world: World, corpus: Corpus) -> None:
    """Send ids to whoever cannot see the file that they lie in."""
    if world.sum([0.0])[0]:
        raw = corpus.ids.view(np.uint8)
        for first in range(0, len(raw), CHUNK_BYTES):
            world.broadcast(raw[first : first + CHUNK_BYTES].tobytes())
            corpus.release()
        world.sum([0.0])
    _check_all_have(world, True)


def _take_ids(world: World, facts: dict[str, Any]) -> Corpus:
    """The leader's corpus: its ids from its file, from this machine's copy, or as they come."""
    tokenizer = CharTokenizer.from_json(facts["tokenizer"])
    size, digest = facts["num_chars"] * tokenizer.id_dtype.itemsize, facts["ids_sha256"]
    mapping = path = ids = None
    if not facts["mapped"]:
        world.sum([1.0])
        sink = io.BytesIO()
        _receive(world, size, sink)
        world.sum([0.0])
        if hashlib.sha256(sink.getbuffer()).hexdigest() == digest:
            ids = np.frombuffer(sink.getbuffer(), dtype=tokenizer.id_dtype)
    else:
        folder = cache_folder()
        copy = None if folder is None else folder / f"{digest[:40]}.copy.ids"
        places = [Path(facts["path"])] if facts["path"] else []
        places += [] if copy is None else [copy]
        path = _find(places, digest)
        if world.sum([float(path is None)])[0]:
            # One process of a machine writes its copy; the others find it when all is there.
            if path is None and copy is not None and world.local_rank == 0:
                copy.parent.mkdir(parents=True, exist_ok=True)
                replace_file(copy, lambda file: _receive(world, size, file))
            else:
                _receive(world, size, None)
            world.sum([0.0])  # until here, a copy may be half written
            path = path or _find(places, digest)
        if path is not None:
            with path.open("rb") as file:
                ids, mapping = map_ids(file, tokenizer)
            touch(path)
            if path == copy:
                shrink(path.parent, cache_limit())
    _check_all_have(world, ids is not None)
    assert ids is not None
    val, test = facts["fractions"]
    return Corpus(ids, tokenizer, facts["sha256"], {}, val, test, mapping, path)


def _receive(world: World, size: int, sink: IO[bytes] | None) -> None:
    """Take what `_give_ids` sends, and write it down."""
    done = 0
    while done < size:
        data = world.broadcast()
        done += len(data)
        if sink is not None:
            sink.write(data)


def _find(places: Sequence[Path], digest: str) -> Path | None:
    """The first of some files that holds the ids."""
    for place in places:
        try:
            with place.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == digest:
                    return place
        except OSError:
            continue  # not on this machine
    return None


def _check_all_have(world: World, here: bool) -> None:
    if world.sum([float(not here)])[0]:
        raise CorpusError(
            "the text's ids cannot be shared with all processes.\n"
            "Set XDG_CACHE_HOME on each machine to a folder on a disk with room."
        )
