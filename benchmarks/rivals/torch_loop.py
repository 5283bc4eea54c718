"""Stock torch: a training loop over `nn.LSTM`, and `nn.LSTM` or `LSTMCell` stepped by itself.

Training: one-hot rows, `nn.LSTM`, a linear layer, cross entropy over all positions, gradients
clipped to norm 1, fused AdamW, the state carried and detached; nothing is logged. With
`precision` bfloat16 it runs under autocast. Writing: one character at a time, `softmax`,
`multinomial`, fed back. `products` are large bfloat16 matrix products: the machine's ceiling.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from common import Prepared, serve
from torch import Tensor, nn


def training(arguments: dict[str, Any]) -> Callable[[], float]:
    """A step, on torch's default device; its units are target characters."""
    vocab, hidden = arguments["vocab"], arguments["hidden"]
    batch, maxlen = arguments["batch"], arguments["maxlen"]
    lstm, head = nn.LSTM(vocab, hidden, arguments["layers"]), nn.Linear(hidden, vocab)
    parameters = [*lstm.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, fused=True)
    ids = torch.randint(vocab, (maxlen + 1, batch))
    low = arguments["precision"] == "bfloat16"
    state: tuple[Tensor, Tensor] | None = None

    def step() -> float:
        nonlocal state
        xs = nn.functional.one_hot(ids[:-1], vocab).float()  # (T, N, V)
        context = torch.autocast(ids.device.type, torch.bfloat16, enabled=low)
        with context:
            outputs, (h, c) = lstm(xs, state)
            logits = head(outputs)
        loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        state = h.detach(), c.detach()
        return float(batch * maxlen)

    return step


def writing_lstm(arguments: dict[str, Any]) -> Callable[[], float]:
    """A character by `nn.LSTM`."""
    vocab, hidden = arguments["vocab"], arguments["hidden"]
    lstm, head = nn.LSTM(vocab, hidden, arguments["layers"]), nn.Linear(hidden, vocab)
    one_hot = torch.eye(vocab)
    char_id, state = 0, None

    def step() -> float:
        nonlocal char_id, state
        with torch.inference_mode():
            out, state = lstm(one_hot[char_id].view(1, 1, -1), state)
            char_id = int(torch.multinomial(torch.softmax(head(out[0, 0]), 0), 1))
        return 1.0

    return step


def writing_cell(arguments: dict[str, Any]) -> Callable[[], float]:
    """A character by a stack of `LSTMCell`."""
    vocab, hidden, layers = (arguments[name] for name in ("vocab", "hidden", "layers"))
    cells = [nn.LSTMCell(hidden if n else vocab, hidden) for n in range(layers)]
    head, one_hot = nn.Linear(hidden, vocab), torch.eye(vocab)
    states = [(torch.zeros(1, hidden), torch.zeros(1, hidden)) for _ in cells]
    char_id = 0

    def step() -> float:
        nonlocal char_id
        with torch.inference_mode():
            x = one_hot[char_id : char_id + 1]
            for layer, cell in enumerate(cells):
                states[layer] = cell(x, states[layer])
                x = states[layer][0]
            char_id = int(torch.multinomial(torch.softmax(head(x)[0], 0), 1))
        return 1.0

    return step


def products(_arguments: dict[str, Any]) -> Callable[[], float]:
    """A large product in bfloat16; its units are FLOP."""
    size = 2048
    left, right = (torch.randn(size, size).bfloat16() for _ in range(2))
    out = torch.empty_like(left)

    def step() -> float:
        torch.mm(left, right, out=out)
        return 2.0 * size**3

    return step


JOBS = {"train": training, "lstm": writing_lstm, "cell": writing_cell, "products": products}


def prepare(arguments: dict[str, Any]) -> Prepared:
    """The job; 0 threads are torch's default."""
    if arguments.get("threads"):
        torch.set_num_threads(arguments["threads"])
    work = JOBS[arguments["job"]](arguments)
    start = time.perf_counter()
    work()
    first = time.perf_counter() - start
    for _ in range(arguments.get("warm", 1)):
        work()
    return Prepared(work, first, arguments["seconds"])


if __name__ == "__main__":
    serve(prepare)
