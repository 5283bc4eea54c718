"""Keras 3 on the backend that KERAS_BACKEND names: the same model, or Keras's own example.

`same`: one-hot rows (made from ids within the compiled graph), L layers of `LSTM` that return
sequences, a `Dense` layer, cross entropy from logits over all positions, Adam, clipped to norm 1.
`example`: the character-level example as Keras documents it: one layer of 128, batches of 128
windows of 40 characters, 3 apart, boolean one-hot arrays made beforehand, a softmax after the last
character only, RMSprop at 0.01, `fit`. A unit is a target character: a window of the example has
one.

The faster of `fit`, with several steps an execution, and `train_on_batch` is taken (the example:
`fit`). `jit` is Keras's `jit_compile`; `batches` are in one call of `fit`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from common import Prepared, serve, timed


class OneHot(keras.layers.Layer):  # type: ignore[misc]
    """Ids (N, T) -> one-hot rows (N, T, V)."""

    def __init__(self, vocab: int) -> None:
        super().__init__()
        self.vocab = vocab

    def call(self, ids: Any) -> Any:
        """The rows."""
        return keras.ops.one_hot(ids, self.vocab, dtype="float32")


def same_model(arguments: dict[str, Any], group: int) -> tuple[Any, Any, Any, int]:
    """Model, inputs, targets, and the batch size."""
    vocab, hidden = arguments["vocab"], arguments["hidden"]
    batch, maxlen = arguments["batch"], arguments["maxlen"]
    layers = [keras.layers.LSTM(hidden, return_sequences=True) for _ in range(arguments["layers"])]
    inputs = keras.Input((maxlen,), dtype="int32", batch_size=batch)
    outputs = OneHot(vocab)(inputs)
    for layer in layers:
        outputs = layer(outputs)
    model = keras.Model(inputs, keras.layers.Dense(vocab)(outputs))
    model.compile(
        optimizer=keras.optimizers.Adam(2e-3, global_clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=arguments["jit"],
        steps_per_execution=group,
    )
    ids = np.random.default_rng(0).integers(vocab, size=(batch * arguments["batches"], maxlen + 1))
    return model, ids[:, :-1].astype(np.int32), ids[:, 1:].astype(np.int32), batch


def example(arguments: dict[str, Any], group: int) -> tuple[Any, Any, Any, int]:
    """The same for Keras's example."""
    vocab, maxlen, stride, batch = arguments["vocab"], 40, 3, 128
    model = keras.Sequential(
        [
            keras.Input((maxlen, vocab)),
            keras.layers.LSTM(128),
            keras.layers.Dense(vocab, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.RMSprop(0.01),
        loss="categorical_crossentropy",
        jit_compile=arguments["jit"],
        steps_per_execution=group,
    )
    count = batch * arguments["batches"]
    ids = np.random.default_rng(0).integers(vocab, size=count * stride + maxlen + 1)
    rows = np.eye(vocab, dtype=bool)[ids]
    starts = np.arange(count)[:, None] * stride
    return model, rows[starts + np.arange(maxlen)], rows[starts[:, 0] + maxlen], batch


def prepare(arguments: dict[str, Any]) -> Prepared:
    """Compile and train for one call, both ways; keep the faster."""
    build = example if arguments["job"] == "example" else same_model
    model, xs, ys, batch = build(arguments, min(8, arguments["batches"]))
    targets = len(xs) if ys.dtype == bool else ys.size

    def fit() -> float:
        model.fit(xs, ys, batch_size=batch, epochs=1, verbose=0, shuffle=False)
        return float(targets)

    ways: list[Callable[[], float]] = [fit]
    if build is same_model:
        stepped = same_model(arguments, 1)[0]

        def train_on_batch() -> float:
            for start in range(0, len(xs), batch):
                stepped.train_on_batch(xs[start : start + batch], ys[start : start + batch])
            return float(targets)

        ways.append(train_on_batch)
    best, compiling = math.inf, 0.0
    for way in ways:
        first, again = timed(way), timed(way)
        if again < best:
            work, best, compiling = way, again, first - again
    return Prepared(work, compiling, arguments["seconds"], work.__name__)


if __name__ == "__main__":
    serve(prepare)
