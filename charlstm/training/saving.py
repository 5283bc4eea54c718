"""A trainer's state -> a checkpoint's contents, and back, to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from charlstm import __version__
from charlstm.errors import CheckpointError, DivergenceError
from charlstm.format.checkpoint import Checkpoint, load_checkpoint
from charlstm.format.metadata import read_meta
from charlstm.format.progress import Progress, SavedBest
from charlstm.inference.weights import check_weights
from charlstm.nn.network import CharLSTM, NetworkState
from charlstm.training.optim import optimizer_arrays, restore_optimizer

if TYPE_CHECKING:
    from charlstm.training.loop import Trainer

Contents = tuple[dict[str, Any], dict[str, NDArray[Any]]]
"""A checkpoint's meta object and its arrays."""


def best_snapshot(trainer: Trainer) -> Contents:
    """What writing and scoring need.

    Raises:
        DivergenceError: a weight is too large for a checkpoint to be believed later.
    """
    weights = weights_of(trainer.network)
    try:
        check_weights(weights, trainer.config.model, len(trainer.corpus.tokenizer))
    except CheckpointError as error:
        train = trainer.config.train
        raise DivergenceError(
            f"at step {trainer.progress.step} {error} What was saved before is whole.\n"
            f"Lower --lr (it is {train.lr:g}) or --weight-decay (it is {train.weight_decay:g})."
        ) from error
    progress = trainer.progress.to_json()
    progress["seconds"] = trainer.seconds
    meta = {
        "charlstm": __version__,
        "config": trainer.config.to_json(),
        "tokenizer": trainer.corpus.tokenizer.to_json(),
        "corpus": trainer.corpus_meta,
        "progress": progress,
    }
    return meta, {f"model/{name}": array for name, array in weights.items()}


def snapshot(trainer: Trainer) -> Contents:
    """What continuing needs.

    Raises:
        DivergenceError: as for `best_snapshot`.
    """
    meta, arrays = best_snapshot(trainer)
    for name, array in optimizer_arrays(trainer.network, trainer.optimizer).items():
        arrays[f"optimizer/{name}"] = array
    arrays["rng/dropout"] = trainer.network.generator.get_state().numpy()
    for layer, (cell, parts) in enumerate(zip(trainer.network.cells, trainer.state, strict=True)):
        for name, part in zip(cell.state_names, parts, strict=True):
            arrays[f"carry/{layer}.{name}"] = _to_numpy(trainer.whole(part.float()))
    names = [name for name, _ in trainer.network.named_parameters()]
    for name, mean in zip(names, trainer.average.means, strict=False):  # empty until it begins
        arrays[f"average/{name}"] = _to_numpy(mean)
    return meta | {"paths": trainer.paths}, arrays


def weights_of(network: CharLSTM) -> dict[str, NDArray[np.float32]]:
    """Copies of a network's weights, by name."""
    return {name: _to_numpy(parameter) for name, parameter in network.named_parameters()}


def restore(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Take a trainer to where a checkpoint of its run was made.

    Raises:
        CheckpointError: it lacks something, or does not fit.
    """
    network = trainer.network
    weights = checkpoint.part("model")
    check_weights(weights, trainer.config.model, len(trainer.corpus.tokenizer))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.from_numpy(weights[name].copy()))
    average = checkpoint.part("average")
    if average:
        check_weights(average, trainer.config.model, len(trainer.corpus.tokenizer))
        trainer.average.means = [
            torch.from_numpy(average[name].copy()).to(trainer.device)
            for name, _ in network.named_parameters()
        ]
    restore_optimizer(
        network, trainer.optimizer, checkpoint.part("optimizer"), trainer.config.train
    )
    trainer.progress = Progress.from_json(checkpoint.meta.get("progress"))
    if bool(average) != bool(trainer.progress.averaged):
        raise CheckpointError("the average of the weights does not fit the run's progress.")
    if trainer.progress.index >= trainer.windows.batches_per_epoch:
        raise CheckpointError("the run's progress does not fit its text.")
    rng = checkpoint.part("rng").get("dropout")
    try:
        if rng is None:
            raise RuntimeError
        network.generator.set_state(torch.from_numpy(rng.copy()))
    except (RuntimeError, TypeError) as error:
        raise CheckpointError(
            "the state of dropout's generator is missing or fits another device."
        ) from error
    trainer.state = _carried_state(trainer, checkpoint.part("carry"))
    trainer.saved_step = trainer.progress.step


def restore_saved_best(trainer: Trainer) -> None:
    """Tell a restored trainer of a `best.npz` that is better than its checkpoint knows."""
    path, progress = trainer.run.best, trainer.progress
    try:
        checkpoint = load_checkpoint(path, kinds=frozenset())
        config, tokenizer = read_meta(path, checkpoint)
        best = Progress.from_json(checkpoint.meta.get("progress"))
    except CheckpointError:
        return  # there is none yet, or it is damaged: anything is better
    same_model = config.model == trainer.config.model and tokenizer == trainer.corpus.tokenizer
    if not same_model or config.text != trainer.config.text:
        return  # of another run
    # How much is evaluated is measured where no checkpoint says; figures of unequal parts cannot
    # be compared.
    progress.val_chars = progress.val_chars or best.val_chars
    if progress.val_chars == best.val_chars and best.best_nats < progress.best_nats:
        trainer.saved_best = SavedBest(best.best_nats, best.best_step)


def _carried_state(trainer: Trainer, arrays: Mapping[str, NDArray[Any]]) -> NetworkState:
    state: NetworkState = []
    for layer, cell in enumerate(trainer.network.cells):
        parts = []
        for name in cell.state_names:
            array = arrays.get(f"{layer}.{name}")
            width, rows = trainer.config.model.hidden_size, trainer.batch_size
            # The last batch of shuffled windows may be smaller; its state is never carried.
            if array is not None and trainer.config.windows.stateless and array.ndim == 2:
                rows = min(rows, len(array))
            if array is None or array.shape != (rows, width) or array.dtype != np.float32:
                raise CheckpointError("the carried state is missing or does not fit.")
            part = torch.from_numpy(array.copy())
            parts.append(part.to(trainer.device))
        state.append(tuple(parts))
    return state


def _to_numpy(tensor: Tensor) -> NDArray[np.float32]:
    """A float32 copy; bfloat16 fits into it exactly."""
    return tensor.detach().to("cpu", torch.float32, copy=True).numpy()
