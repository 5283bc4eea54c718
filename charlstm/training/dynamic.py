"""Dynamic evaluation: weights that follow the text as it is read.

Each window is predicted first, and counted; then one step of gradient descent on it moves the
weights, and they lean back a little to where they were trained (Krause et al. 2018, "Dynamic
evaluation of neural sequence models", the rule with RMS-scaled steps):

    M   <- mean over the windows so far of g^2
    w   <- w - rate * g / (sqrt(M) + e) + decay * R * (w0 - w),   R = sqrt(M) / mean(sqrt(M))

with decay * R held to 1 at most. There, M is taken from the training text; here, from what has
been read, so that a checkpoint is all that is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from charlstm.config import DynamicConfig, ModelConfig
from charlstm.errors import CorpusError, DirectionError
from charlstm.inference.scoring import Score
from charlstm.nn.network import CharLSTM
from charlstm.text.parts import Part, as_part
from charlstm.text.tokenizer import Ids
from charlstm.training.state import weights_of

_EPSILON = 1e-3  # of the mean of sqrt(M): weights that hardly ever matter stay where they are


class DynamicReader:
    """A model that learns from what it reads.

    Args:
        weights: by name, see `charlstm.format.weights`; not changed.
        config: the network's shape.
        vocab_size: V.
        dynamic: how it learns.

    Raises:
        DirectionError: the model reads both ways.
    """

    def __init__(
        self,
        weights: Mapping[str, NDArray[Any]],
        config: ModelConfig,
        vocab_size: int,
        dynamic: DynamicConfig,
    ) -> None:
        if config.direction == "both":
            raise DirectionError(
                "--dynamic is for models that read left to right; this one reads both sides of "
                "each character.\nLeave --dynamic out."
            )
        self.dynamic = dynamic
        self.network = CharLSTM(config, vocab_size)
        self.network.eval()  # learning goes on without dropout
        self._named = dict(self.network.named_parameters())
        with torch.no_grad():
            for name, parameter in self._named.items():
                parameter.copy_(torch.from_numpy(np.array(weights[name], dtype=np.float32)))
        self._trained = [parameter.detach().clone() for parameter in self._named.values()]
        self._squares = [torch.zeros_like(parameter) for parameter in self._trained]
        self._windows = 0
        self._state = self.network.initial_state(1)

    def score(self, ids: Ids | Part, progress: Callable[[int], None] | None = None) -> Score:
        """How well a text is predicted, each window before it is learned from.

        Args:
            ids: shape (T,), or a part of a text: the state starts anew in each segment, the
                weights do not.
            progress: receives the number of characters read, after each window.

        Raises:
            CorpusError: fewer than two characters.
        """
        part = as_part(ids)
        if part.predictions < 1:
            raise CorpusError(
                f"the text has {len(part)} character(s); at least 2 are needed to score it."
            )
        nats, done, size = 0.0, 0, self.dynamic.dynamic_window
        for number, segment in enumerate(part.segments):
            if number:
                self._state = self.network.initial_state(1)
            for first in range(0, len(segment) - 1, size):
                window = torch.from_numpy(segment[first : first + size + 1].astype(np.int64))
                nats += self._read(window[:-1, None], window[1:])
                if progress is not None:
                    progress(done + first + len(window))
            done += len(segment)
        return Score(nats, part.predictions)

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """What the weights are now, by name."""
        return weights_of(self.network)

    def _read(self, inputs: torch.Tensor, targets: torch.Tensor) -> float:
        """Predict a window, (T, 1) and (T,), then learn from it; its nats in all."""
        logits, state = self.network(inputs, self._state)
        loss = nn.functional.cross_entropy(logits[:, 0], targets, reduction="sum")
        gradients = torch.autograd.grad(loss / len(targets), list(self._named.values()))
        self._state = [tuple(part.detach() for part in layer) for layer in state]
        self._windows += 1
        with torch.no_grad():
            for parameter, trained, square, gradient in zip(
                self._named.values(), self._trained, self._squares, gradients, strict=True
            ):
                square.lerp_(gradient * gradient, 1 / self._windows)
                scale = square.sqrt()
                mean = scale.mean()
                step = gradient.div_(scale + _EPSILON * mean + 1e-30)
                back = (scale * (self.dynamic.dynamic_decay / (mean + 1e-30))).clamp_(max=1.0)
                parameter.sub_(step, alpha=self.dynamic.dynamic_rate)
                parameter.add_(back * (trained - parameter))
        return float(loss.detach())
