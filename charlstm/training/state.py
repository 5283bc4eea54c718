"""`TrainState`: the complete state of a training, for exact resumption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from charlstm.config import Config
from charlstm.errors import CheckpointError, ConfigError
from charlstm.format.progress import Progress
from charlstm.format.weights import check_weights
from charlstm.nn.network import CharLSTM, NetworkState
from charlstm.training.average import WeightAverage
from charlstm.training.device import allow_tf32, product_type
from charlstm.training.optim import make_optimizer, optimizer_arrays, restore_optimizer
from charlstm.training.process_group import ProcessGroup


@dataclass
class TrainState:
    """Weights, optimizer, generator, carried state, counters and averaged weights of a run.

    Attributes:
        config: the complete configuration; constant during training.
        network: the weights, and the random generator of dropout.
        optimizer: the optimizer of the network's parameters.
        carry: the recurrent state of this process's streams after the last window: (B, H), float32,
            for each part of each layer's state.
        average: the average of the weights.
        best: the weights of the best evaluation, in the order of `parameters`, if overfitting may
            begin an early decay from them; otherwise empty.
        progress: the counters.
        group: the process group.
        streams: B of the last batch, of all processes.
        learner: the network; in a group of several processes, wrapped to average gradients.
        parameters: the network's parameters.
    """

    config: Config
    network: CharLSTM
    optimizer: torch.optim.Optimizer
    carry: NetworkState
    average: WeightAverage
    progress: Progress = field(default_factory=Progress)
    group: ProcessGroup = field(default_factory=ProcessGroup)
    best: list[Tensor] = field(default_factory=list)
    streams: int = field(init=False)
    learner: nn.Module = field(init=False)
    parameters: list[nn.Parameter] = field(init=False)

    def __post_init__(self) -> None:
        self.streams = len(self.carry[0][0])
        self.learner = self.network
        self.parameters = list(self.network.parameters())

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.network.device

    @classmethod
    def new(cls, config: Config, vocab_size: int, device: torch.device) -> TrainState:
        """The state before the first step, which depends only on the configuration and V."""
        if device.type == "cuda":
            allow_tf32(config.train.precision == "tf32")
        network = CharLSTM(
            config.model,
            vocab_size,
            seed=config.train.seed,
            dtype=product_type(config.train.precision),
            compiled=config.train.kernel == "compiled",
        )
        network.to(device)
        if device.type != "cpu":
            # A generator belongs to a device. Its seed differs from that of the weights.
            network.generator = torch.Generator(device).manual_seed(config.train.seed + 1)
        return cls(
            config,
            network,
            make_optimizer(network, config.train),
            network.initial_state(config.windows.batch_size),
            WeightAverage(list(network.parameters())),
        )

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        progress: Progress,
        config: Config,
        vocab_size: int,
        device: torch.device,
    ) -> TrainState:
        """Rebuild the state of a single process from `to_arrays`, bit-identical.

        Args:
            arrays: the tensors by name.
            progress: the counters.
            config: as for `new`.
            vocab_size: V.
            device: the device to train on.

        Raises:
            CheckpointError: an array is missing or does not fit the configuration.
        """
        state = cls.new(config, vocab_size, device)
        state.progress = progress
        network = state.network
        state.set_weights(part_of(arrays, "model"))
        average = part_of(arrays, "average")
        for part, tensors in (
            (average, state.average.means),
            (part_of(arrays, "best"), state.best),
        ):
            if part:
                check_weights(part, config.model, vocab_size)
                for name, _ in network.named_parameters():
                    tensors.append(torch.from_numpy(part[name].copy()).to(device))
        if bool(average) != bool(progress.averaged):
            raise CheckpointError("the averaged weights do not fit the run's progress.")
        restore_optimizer(network, state.optimizer, part_of(arrays, "optimizer"), config.train)
        try:
            network.generator.set_state(torch.from_numpy(arrays["rng/dropout"].copy()))
        except (KeyError, RuntimeError, TypeError) as error:
            raise CheckpointError(
                "the state of the dropout generator is missing or for another device."
            ) from error
        state.carry = _carry(part_of(arrays, "carry"), config, network)
        state.streams = len(state.carry[0][0])
        return state

    def set_weights(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """Set the network's weights, by name.

        Raises:
            CheckpointError: they do not fit the configuration.
        """
        check_weights(weights, self.config.model, self.network.vocab_size)
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(torch.from_numpy(weights[name].copy()))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All tensors, by name; all processes of a group must call it.

        Returns:
            `model/NAME`, `average/NAME` and `best/NAME` (float32), `optimizer/NAME.KEY`,
            `rng/dropout`, and `carry/LAYER.PART`, (B, H) of all processes' streams. The last
            batch of shuffled windows may have fewer streams.
        """
        arrays = self.weight_arrays()
        for name, array in optimizer_arrays(self.network, self.optimizer).items():
            arrays[f"optimizer/{name}"] = array
        arrays["rng/dropout"] = self.network.generator.get_state().numpy()
        for layer, (cell, parts) in enumerate(zip(self.network.cells, self.carry, strict=True)):
            for name, part in zip(cell.state_names, parts, strict=True):
                arrays[f"carry/{layer}.{name}"] = _to_numpy(self._all_rows(part.float()))
        names = [name for name, _ in self.network.named_parameters()]
        for name, mean in zip(names, self.average.means, strict=False):  # empty before averaging
            arrays[f"average/{name}"] = _to_numpy(mean)
        for name, weights in zip(names, self.best, strict=False):
            arrays[f"best/{name}"] = _to_numpy(weights)
        return arrays

    def keep_best(self) -> None:
        """Store a copy of the weights for `restore_best`."""
        self.best = [parameter.detach().clone() for parameter in self.parameters]

    def restore_best(self) -> None:
        """Set the weights to the copy stored by `keep_best`."""
        with torch.no_grad():
            for parameter, weights in zip(self.parameters, self.best, strict=True):
                parameter.copy_(weights)

    def weight_arrays(self) -> dict[str, NDArray[Any]]:
        """The weights: `model/NAME`, float32."""
        return {f"model/{name}": array for name, array in weights_of(self.network).items()}

    def distribute(self, group: ProcessGroup, max_chunks: int) -> None:
        """Keep this process's shard of the carried state, and average gradients over a group.

        Args:
            group: processes in the same state.
            max_chunks: maximum number of chunks into which a window is divided.

        Raises:
            ConfigError: there are fewer streams than processes.
            DistributedError: another process has ended.
        """
        windows = self.config.windows
        if windows.batch_size < group.size:
            raise ConfigError(
                f"--batch-size {windows.batch_size} cannot be divided among {group.size} "
                f"processes.\nUse at most --processes {windows.batch_size}."
            )
        self.group = group
        shard = process_shard(group, self.streams)
        self.carry = [tuple(part[shard].clone() for part in layer) for layer in self.carry]
        self.learner = group.wrap(self.network, windows.maxlen // max_chunks)

    def _all_rows(self, part: Tensor) -> Tensor:
        shard = self.group.shard(self.streams)
        return self.group.gather(part[: shard.stop - shard.start], self.streams)


def process_shard(group: ProcessGroup, streams: int) -> slice:
    """The streams that this process reads of a batch, at least one.

    A short last batch may have fewer streams than there are processes. Those without a stream of
    their own read the first one, and learn from it with weight 0.
    """
    shard = group.shard(streams)
    return shard if shard.stop > shard.start else slice(0, 1)


def weights_of(network: CharLSTM) -> dict[str, NDArray[np.float32]]:
    """Copies of a network's weights, by name."""
    return {name: _to_numpy(parameter) for name, parameter in network.named_parameters()}


def _carry(arrays: Mapping[str, NDArray[Any]], config: Config, network: CharLSTM) -> NetworkState:
    carry: NetworkState = []
    for layer, cell in enumerate(network.cells):
        parts = []
        for name in cell.state_names:
            array = arrays.get(f"{layer}.{name}")
            width, rows = config.model.hidden_size, config.windows.batch_size
            # The last batch of shuffled windows may be smaller; its state is never carried.
            if array is not None and config.windows.stateless and array.ndim == 2:
                rows = min(rows, len(array))
            if array is None or array.shape != (rows, width) or array.dtype != np.float32:
                raise CheckpointError("the carried state is missing or does not fit.")
            parts.append(torch.from_numpy(array.copy()).to(network.device))
        carry.append(tuple(parts))
    return carry


def part_of(arrays: Mapping[str, NDArray[Any]], kind: str) -> dict[str, NDArray[Any]]:
    """The arrays named `KIND/...`, without that prefix."""
    prefix = f"{kind}/"
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def _to_numpy(tensor: Tensor) -> NDArray[np.float32]:
    """A float32 copy, exact also for bfloat16."""
    return tensor.detach().to("cpu", torch.float32, copy=True).numpy()
