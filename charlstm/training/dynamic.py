"""Dynamic evaluation: fine-tuning of a model on the text that it reads.

Each window is first predicted, and its loss counted. One step of gradient descent on the window
follows, with a decay towards the trained weights. The rule is that of Krause et al. 2018, "Dynamic
evaluation of neural sequence models", with RMS-scaled steps:

    M   <- mean over the windows so far of g^2
    w   <- w - rate * g / (sqrt(M) + e) + decay * R * (w0 - w),   R = sqrt(M) / mean(sqrt(M))

with decay * R clipped to at most 1. In the paper, M is computed on the training text. Here it is
computed on the text read so far, so that only a checkpoint is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from charlstm.config import DynamicConfig, ModelConfig
from charlstm.errors import DirectionError
from charlstm.inference.score import Score
from charlstm.nn.network import CharLSTM
from charlstm.text.parts import Part, as_part, too_short
from charlstm.text.tokenizer import Ids
from charlstm.training.state import weights_of

_EPSILON = 1e-3  # relative to the mean of sqrt(M); weights with small gradients hardly change


class DynamicReader:
    """A model that is fine-tuned on the text that it reads.

    Args:
        weights: arrays by name, see `charlstm.format.weights`; not changed.
        config: the network's architecture.
        vocab_size: V.
        dynamic: learning rate, decay and window length.

    Raises:
        DirectionError: the model is bidirectional.
    """

    def __init__(
        self,
        weights: Mapping[str, NDArray[Any]],
        config: ModelConfig,
        vocab_size: int,
        dynamic: DynamicConfig,
    ) -> None:
        if config.direction == "both":
            raise DirectionError("--dynamic does not apply to bidirectional models.\nOmit it.")
        self.dynamic = dynamic
        self.network = CharLSTM(config, vocab_size)
        self.network.eval()  # no dropout
        self._named = dict(self.network.named_parameters())
        with torch.no_grad():
            for name, parameter in self._named.items():
                parameter.copy_(torch.from_numpy(np.array(weights[name], dtype=np.float32)))
        self._trained = [parameter.detach().clone() for parameter in self._named.values()]
        self._squares = [torch.zeros_like(parameter) for parameter in self._trained]
        self._windows = 0
        self._state = self.network.initial_state(1)

    def score(
        self,
        ids: Ids | Part,
        progress: Callable[[int], None] | None = None,
        *,
        continues: bool = False,
    ) -> Score:
        """The loss on a text; each window is predicted before the weights are updated on it.

        Args:
            ids: shape (T,), or a part of a text. Each segment starts from the zero state; the
                weights are kept.
            progress: receives the number of characters read, after each window.
            continues: whether the first segment goes on where the last one ended: the state of the
                last call is kept.

        Raises:
            CorpusError: the text has fewer than two characters.
        """
        part = as_part(ids)
        if part.predictions < 1:
            raise too_short(len(part))
        nats, done, size = 0.0, 0, self.dynamic.dynamic_window
        for number, segment in enumerate(part.segments):
            if number or not continues:
                self._state = self.network.initial_state(1)
            for first in range(0, len(segment) - 1, size):
                window = torch.from_numpy(segment[first : first + size + 1].astype(np.int64))
                nats += self._read(window[:-1, None], window[1:])
                if progress is not None:
                    progress(done + first + len(window))
            done += len(segment)
        return Score(nats, part.predictions)

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Copies of the current weights, by name."""
        return weights_of(self.network)

    def _read(self, inputs: torch.Tensor, targets: torch.Tensor) -> float:
        """Predict a window and update the weights on it.

        Args:
            inputs: ids, (T, 1).
            targets: ids, (T,).

        Returns:
            The loss before the update, in nats, summed over the window.
        """
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
                decay = (scale * (self.dynamic.dynamic_decay / (mean + 1e-30))).clamp_(max=1.0)
                parameter.sub_(step, alpha=self.dynamic.dynamic_rate)
                parameter.add_(decay * (trained - parameter))
        return float(loss.detach())
