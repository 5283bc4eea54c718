"""`TrainState`: everything that a resume needs, as tensors and counters."""

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
    """Weights, optimizer, generator, carried state, counters and average of a run.

    Attributes:
        config: with sizes, epochs, precision and kernel settled; not changed while a run trains.
        network: the weights, and the generator that dropout draws from.
        optimizer: over the network's parameters.
        carry: the recurrent state after the last window, of this process's streams: (B, H) float32
            for each part of each layer.
        average: the mean of some steps' weights.
        best: the weights of the best evaluation, in the order of the parameters, if overfitting
            may begin an early decay from them; otherwise empty.
        progress: the counters.
        group: the processes that train together.
        streams: B of the last batch, of all processes.
        learner: the network, or its form that averages gradients over the processes.
        parameters: the network's, in its order.
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
        """Where the weights are."""
        return self.network.device

    @classmethod
    def new(cls, config: Config, vocab_size: int, device: torch.device) -> TrainState:
        """The state before the first step, which the configuration's seed determines."""
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
            # A generator belongs to a device; the seed differs from that of the weights.
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
            arrays: by name.
            progress: the counters.
            config: as for `new`.
            vocab_size: V.
            device: where to compute.

        Raises:
            CheckpointError: an array is missing or does not fit the configuration.
        """
        state = cls.new(config, vocab_size, device)
        state.progress = progress
        network = state.network
        weights = part_of(arrays, "model")
        check_weights(weights, config.model, vocab_size)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(torch.from_numpy(weights[name].copy()))
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
            raise CheckpointError("the average of the weights does not fit the run's progress.")
        restore_optimizer(network, state.optimizer, part_of(arrays, "optimizer"), config.train)
        try:
            network.generator.set_state(torch.from_numpy(arrays["rng/dropout"].copy()))
        except (KeyError, RuntimeError, TypeError) as error:
            raise CheckpointError(
                "the state of dropout's generator is missing or fits another device."
            ) from error
        state.carry = _carry(part_of(arrays, "carry"), config, network)
        state.streams = len(state.carry[0][0])
        return state

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All tensors, by name; of a process group, every process must call it.

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
        for name, mean in zip(names, self.average.means, strict=False):  # empty until it begins
            arrays[f"average/{name}"] = _to_numpy(mean)
        for name, weights in zip(names, self.best, strict=False):
            arrays[f"best/{name}"] = _to_numpy(weights)
        return arrays

    def keep_best(self) -> None:
        """Keep a copy of the weights, for `restore_best`."""
        self.best = [parameter.detach().clone() for parameter in self.parameters]

    def restore_best(self) -> None:
        """Set the weights to the copy that `keep_best` made."""
        with torch.no_grad():
            for parameter, weights in zip(self.parameters, self.best, strict=True):
                parameter.copy_(weights)

    def weight_arrays(self) -> dict[str, NDArray[Any]]:
        """The weights alone: `model/NAME`, float32."""
        return {f"model/{name}": array for name, array in weights_of(self.network).items()}

    def distribute(self, group: ProcessGroup, max_chunks: int) -> None:
        """Keep this process's shard of the carried state, and average gradients over a group.

        Args:
            group: processes in the same state.
            max_chunks: how many chunks a window is cut into at most.

        Raises:
            ConfigError: there are fewer streams than processes.
            DistributedError: another process has ended.
        """
        windows = self.config.windows
        if windows.batch_size < group.size:
            raise ConfigError(
                f"--batch-size {windows.batch_size} cannot be divided among {group.size} "
                f"processes.\nUse at most {windows.batch_size} (--processes)."
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
    """A float32 copy; bfloat16 fits into it exactly."""
    return tensor.detach().to("cpu", torch.float32, copy=True).numpy()
