"""The list of layers, and what another kind of layer takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from charlstm import layers
from charlstm.config import ModelConfig
from charlstm.format import weights
from charlstm.inference import layers as numpy_layers
from charlstm.inference.engine import Engine
from charlstm.nn import network as torch_network
from charlstm.nn.dropout import Masks
from charlstm.nn.layer import Layer, State
from charlstm.nn.network import CharLSTM
from charlstm.nn.starts import Starts

VOCAB = 7


def test_names_and_shapes_of_the_weights() -> None:
    config = ModelConfig(
        cell="gru", num_layers=2, hidden_size=4, embedding=3, layer_norm=True, dense_output=True,
        direction="both",
    )  # fmt: skip
    stack = {
        "layers.0.weight_ih": (12, 3), "layers.0.weight_hh": (12, 4), "layers.0.bias": (16,),
        "norms.0.weight": (4,), "norms.0.bias": (4,),
        "layers.1.weight_ih": (12, 4), "layers.1.weight_hh": (12, 4), "layers.1.bias": (16,),
    }  # fmt: skip
    assert layers.network(config, VOCAB).weight_shapes() == {
        "embedding.weight": (7, 3),
        **stack,
        **{f"backward_{name}": shape for name, shape in stack.items()},
        "head.weight": (7, 16),
        "head.bias": (7,),
    }


@dataclass(frozen=True)
class Trace:
    """y = w m' with m' = (m + x) / 2."""

    name: str
    inputs: int
    size: int

    def weight_shapes(self) -> layers.Shapes:
        return {f"{self.name}.weight": (self.size,)}


class TraceModule(Layer):
    state_names = ("m",)

    def __init__(self, spec: Trace) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(spec.size))

    def initialize(self, generator: torch.Generator) -> None:
        nn.init.uniform_(self.weight, generator=generator)

    def initial_state(self, batch_size: int) -> State:
        return (self.weight.new_zeros(batch_size, len(self.weight)),)

    def forward(
        self,
        xs: Tensor,
        state: State,
        masks: Masks,
        vectors: Tensor | None = None,
        starts: Starts | None = None,
    ) -> tuple[Tensor, State]:
        assert starts is None
        (m,) = state
        outputs = []
        for x in xs:
            m = (m + x) / 2
            outputs.append(self.weight * m)
        return torch.stack(outputs), (m,)


class TraceState(numpy_layers.LayerState):
    def __init__(self, weight: NDArray[Any], tail: tuple[int, ...]) -> None:
        self.weight = weight.reshape(-1, *(1 for _ in tail))
        self.m = np.zeros((len(weight), *tail), dtype=np.float32)
        self.parts = [self.m]

    def read_character(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return self.read(values)

    def read(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        self.m[...] = (self.m + values) / 2
        return np.asarray(self.weight * self.m)


class TraceLayer(numpy_layers.Layer):
    def __init__(self, spec: Trace, weights: numpy_layers.Weights) -> None:
        self.weight = weights[f"{spec.name}.weight"]

    def table(self, vectors: NDArray[Any] | None) -> NDArray[np.float32]:
        assert vectors is not None
        return np.asarray(vectors)

    def state(self, tail: tuple[int, ...]) -> TraceState:
        return TraceState(self.weight, tail)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("is_dense", [False, True])
def test_another_kind_of_layer_has_a_specification_and_two_implementations(
    place: int, is_dense: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    original: Callable[[ModelConfig, int], layers.Network] = layers.network
    size = 5

    def network(config: ModelConfig, vocab_size: int) -> layers.Network:
        made = original(config, vocab_size)
        blocks = list(made.forward.blocks)
        blocks.insert(place, layers.Block(Trace("traces.0", size, size), None, None, place > 0))
        stack = layers.Stack(tuple(blocks), is_dense)
        head = layers.LinearHead(stack.size, vocab_size, config.logit_scale)
        return made._replace(forward=stack, head=head)

    for module in (layers, weights):
        monkeypatch.setattr(module, "network", network)
    monkeypatch.setitem(torch_network.LAYER_MODULES, Trace, TraceModule)
    monkeypatch.setitem(numpy_layers.LAYERS, Trace, TraceLayer)
    config = ModelConfig(num_layers=2, hidden_size=size, embedding=size, dropout=0.0)
    net = CharLSTM(config, VOCAB).eval()
    shapes = {name: tuple(value.shape) for name, value in net.named_parameters()}
    assert shapes == weights.weight_shapes(config, VOCAB)
    arrays = {name: value.detach().numpy() for name, value in net.named_parameters()}
    engine = Engine(arrays, config, VOCAB)
    assert not engine.has_sampling_kernel
    ids = torch.randint(VOCAB, (20, 3), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected, _ = net(ids, net.initial_state(3))
    many, one = engine.session(3), engine.session()
    for time, row in enumerate(ids.numpy()):
        np.testing.assert_allclose(many.step(row), expected[time], atol=1e-5)
        np.testing.assert_allclose(one.step(int(row[0])), expected[time, 0], atol=1e-5)
    copies = one.spread(2).step(row[:1].repeat(2))
    np.testing.assert_allclose(copies[1], one.step(int(row[0])), atol=1e-5)
