"""Replication of a run from the leader to all processes of a group.

The leader reads the text and sets up the run as a single process would. It sends its configuration,
then the checkpoint file and the ids of the text. The workers do not read the text: they map the
leader's file of ids if it is on their file system. Otherwise each machine receives the ids once.
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

from charlstm.config import Config, TextConfig, WindowConfig
from charlstm.errors import ConfigError, CorpusError, DeviceError
from charlstm.format.ancestry import read_ancestors
from charlstm.format.checkpoint import read_checkpoint
from charlstm.format.files import replace_file
from charlstm.format.progress import SavedBest
from charlstm.runs.folder import Run
from charlstm.text.cache import cache_folder, map_ids
from charlstm.text.cache_limit import cache_limit, shrink, touch
from charlstm.text.corpus import Corpus
from charlstm.text.document_splits import DocumentRecord, DocumentSplit, document_split
from charlstm.text.parts import Part
from charlstm.text.separate import SeparateText, sizes_of
from charlstm.text.splits import Split
from charlstm.text.tokenizer import CharTokenizer
from charlstm.text.windows import fit
from charlstm.training.compiling import CompileWatch
from charlstm.training.device import compiled_fault, divide_threads, pick_device
from charlstm.training.distributed import CHUNK_BYTES
from charlstm.training.events import Notice
from charlstm.training.loop import Trainer
from charlstm.training.memory import keep_freed_memory
from charlstm.training.process_group import ProcessGroup
from charlstm.training.replay import recorded_old_text
from charlstm.training.saving import Saver, restore_state
from charlstm.training.speed import fastest_count
from charlstm.training.state import TrainState


def choose_processes(
    group: ProcessGroup, config: Config, vocab_size: int, notice: Notice
) -> tuple[ProcessGroup, Config, float]:
    """The group that trains: all processes, or the fastest number of them if undecided.

    Only the leader calls it; the workers call `receive_run`.

    Args:
        group: all processes.
        config: the configuration, complete except for the number of processes.
        vocab_size: V.
        notice: receives the chosen number.

    Returns:
        The group, the configuration with the number of processes, and the seconds for which this
        process waited while another one compiled code.

    Raises:
        DistributedError: another process has ended.
    """
    if group.size == 1:
        return group, config, 0.0
    group.broadcast(json.dumps({"config": config.to_json(), "vocab_size": vocab_size}).encode())
    waited = 0.0
    if config.train.kernel == "compiled":
        begun = time.monotonic()
        if group.all_reduce([0.0])[0]:
            waited = time.monotonic() - begun
    if group.undecided:
        count, speeds = fastest_count(group, config, vocab_size)
        measured = ", ".join(f"{n}: {speed:,.0f}" for n, speed in speeds.items())
        notice(f"--processes auto: {count} (characters per second by processes: {measured})")
        chosen = group.first(count)
        assert chosen is not None, "the leader is in every group"
        group = chosen
        config = replace(config, train=replace(config.train, processes=count))
        divide_threads(config.train.threads, group)
    return group, config, waited


def check_processes(windows: WindowConfig, processes: int, text: Part) -> None:
    """Check that each process has at least one stream.

    Args:
        windows: the sizes, fitted to the text.
        processes: number of processes.
        text: the training part.

    Raises:
        ConfigError: there are more processes than streams.
    """
    streams = windows.batch_size
    if streams >= processes:
        return
    if fit(text, replace(windows, batch_size=processes)).batch_size == processes:
        raise ConfigError(
            f"--batch-size {streams} cannot be divided among {processes} processes.\n"
            f"Use --batch-size {processes} or more, or at most --processes {streams}."
        )
    raise ConfigError(
        f"the text is too short for {processes} processes: with --maxlen {windows.maxlen}, a batch "
        f"holds at most {streams} window(s) of its {len(text):,} training characters.\n"
        f"Use --processes {streams}, a smaller --maxlen, or a longer text."
    )


def send_run(
    group: ProcessGroup, state: TrainState, corpus: Corpus, saver: Saver, path: Path | None = None
) -> None:
    """Send a run to the other processes of a group, which call `receive_run`.

    Args:
        group: the processes that train.
        state: the training state that the checkpoint holds.
        corpus: the text.
        saver: the run's saver.
        path: the checkpoint; None: `last.npz`.

    Raises:
        DistributedError: another process has ended.
        CorpusError: a process can neither map nor store the ids.
    """
    if group.size == 1:
        return
    facts = {
        "run": str(saver.run.folder),
        "corpus": saver.corpus_meta,
        "tokenizer": corpus.tokenizer.to_json(),
        "sha256": corpus.sha256,
        "split": corpus.split.to_json(),
        "separate": {part: own.to_json() for part, own in corpus.separate.items()},
        "num_chars": len(corpus),
        "num_ids": len(corpus.ids),
        "mapped": corpus.mapping is not None,
        "path": None if corpus.path is None else str(corpus.path),
        "ids_sha256": hashlib.sha256(corpus.ids.data).hexdigest(),
        "val_chars": state.progress.val_chars,
        "stale": state.progress.stale,
        "decay_step": state.progress.decay_step,
        "best_ahead": saver.best_ahead and dataclasses.asdict(saver.best_ahead),
    }
    group.broadcast(json.dumps(facts).encode())
    group.broadcast((path or saver.run.last).read_bytes())
    _send_ids(group, corpus)


def receive_run(group: ProcessGroup) -> Trainer | None:
    """The trainer of a worker, in the state that the leader sends.

    Returns:
        The trainer; None if fewer processes are faster and this one is not needed.

    Raises:
        DistributedError: another process has ended.
        CharlstmError: the run cannot be trained on this machine.
    """
    plan = json.loads(group.broadcast())
    config = Config.from_json(plan["config"])
    if config.train.kernel == "compiled":  # compile it, if this machine has not done so yet
        watch = CompileWatch()
        if why := compiled_fault(config.train.precision, watch):
            raise DeviceError(f"--kernel compiled does not work here: {why}\nUse --kernel torch.")
        group.all_reduce([watch.seconds])
    if group.undecided:
        count, _ = fastest_count(group, config, plan["vocab_size"])
        chosen = group.first(count)
        if chosen is None:
            return None
        group = chosen
        config = replace(config, train=replace(config.train, processes=count))
    facts = json.loads(group.broadcast())
    checkpoint = read_checkpoint(Path("the leader's checkpoint"), io.BytesIO(group.broadcast()))
    corpus = _receive_ids(group, facts, config.text)
    old = recorded_old_text(corpus, config.text, facts["corpus"])
    divide_threads(config.train.threads, group)
    keep_freed_memory()
    device = pick_device(config.train.device, group.local_rank)
    state = restore_state(checkpoint, config, corpus, device, old)
    state.progress.val_chars = facts["val_chars"]
    state.progress.stale = facts["stale"]
    if not facts["decay_step"]:
        state.progress.forget_early_decay()
    ancestors = read_ancestors(checkpoint.meta)
    saver = Saver(Run(Path(facts["run"])), corpus.tokenizer, facts["corpus"], (), ancestors)
    saver.saved_step = state.progress.step
    if facts["best_ahead"]:
        saver.best_ahead = SavedBest(**facts["best_ahead"])
    return Trainer(state, corpus, saver, group=group, old=old)


def _send_ids(group: ProcessGroup, corpus: Corpus) -> None:
    """Send the ids, unless all processes can read the leader's file."""
    if group.all_reduce([0.0])[0]:
        raw = corpus.ids.view(np.uint8)
        for first in range(0, len(raw), CHUNK_BYTES):
            group.broadcast(raw[first : first + CHUNK_BYTES].tobytes())
            corpus.release()
        group.all_reduce([0.0])
    _check_all_have(group, True)


def _receive_ids(group: ProcessGroup, facts: dict[str, Any], text: TextConfig) -> Corpus:
    """The corpus, with ids from the leader's file, this machine's copy, or the leader."""
    tokenizer = CharTokenizer.from_json(facts["tokenizer"])
    size, digest = facts["num_ids"] * tokenizer.id_dtype.itemsize, facts["ids_sha256"]
    mapping = path = ids = None
    if not facts["mapped"]:
        group.all_reduce([1.0])
        sink = io.BytesIO()
        _receive(group, size, sink)
        group.all_reduce([0.0])
        if hashlib.sha256(sink.getbuffer()).hexdigest() == digest:
            ids = np.frombuffer(sink.getbuffer(), dtype=tokenizer.id_dtype)
    else:
        folder = cache_folder()
        copy = None if folder is None else folder / f"{digest[:40]}.copy.ids"
        places = [Path(facts["path"])] if facts["path"] else []
        places += [] if copy is None else [copy]
        path = _find(places, digest)
        if group.all_reduce([float(path is None)])[0]:
            # One process of each machine writes the copy; the others map it when it is complete.
            if path is None and copy is not None and group.local_rank == 0:
                copy.parent.mkdir(parents=True, exist_ok=True)
                replace_file(copy, lambda file: _receive(group, size, file))
            else:
                _receive(group, size, None)
            group.all_reduce([0.0])  # barrier: all copies are complete
            path = path or _find(places, digest)
        if path is not None:
            with path.open("rb") as file:
                ids, mapping = map_ids(file, tokenizer)
            touch(path)
            if path == copy:
                shrink(path.parent, cache_limit())
    _check_all_have(group, ids is not None)
    assert ids is not None
    separate = {part: SeparateText.from_json(own) for part, own in facts["separate"].items()}
    split: Split | DocumentSplit
    if text.has_documents:
        record = DocumentRecord.from_json(facts["split"])
        split = document_split(
            ids[: facts["num_chars"]],
            text.val_fraction,
            text.test_fraction,
            record,
            sizes=sizes_of(separate),
        )
    else:
        split = Split.from_json(facts["split"], facts["num_chars"])
    return Corpus(ids, tokenizer, facts["sha256"], {}, split, mapping, path, separate=separate)


def _receive(group: ProcessGroup, size: int, sink: IO[bytes] | None) -> None:
    """Receive what `_send_ids` sends, and write it to `sink` if there is one."""
    done = 0
    while done < size:
        data = group.broadcast()
        done += len(data)
        if sink is not None:
            sink.write(data)


def _find(places: Sequence[Path], digest: str) -> Path | None:
    """The first of some files whose ids have a digest; None if there is none."""
    for place in places:
        try:
            with place.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == digest:
                    return place
        except OSError:
            continue  # on another machine
    return None


def _check_all_have(group: ProcessGroup, here: bool) -> None:
    if group.all_reduce([float(not here)])[0]:
        raise CorpusError(
            "a process cannot store the encoded text.\n"
            "Set XDG_CACHE_HOME on each machine to a folder with enough free space."
        )
