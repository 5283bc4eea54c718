"""onnxruntime: one step of an LSTM as a graph, stepped with bound buffers.

Two forms of the graph: `gates` is made of products and elementwise nodes, the first layer's
input a row of a table; `lstm` has one `LSTM` node of length 1 for each layer. Both take the
character's id and the states, and return the next logits and states. States go back and forth
between two sets of buffers, so that nothing is copied; the draw is the one that charlstm makes
in numpy, softmax and inverse of the distribution. `int8` weights come from `quantize_dynamic`.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from common import Prepared, serve
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic


class Graph:
    """Nodes and constants as they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.rng = np.random.default_rng(0)

    def matrix(self, name: str, *shape: int) -> str:
        """Random weights."""
        values = (self.rng.normal(size=shape) / shape[-1] ** 0.5).astype(np.float32)
        return self.constant(name, values)

    def constant(self, name: str, values: Any) -> str:
        """A constant."""
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def add(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        """A node; returns its first output."""
        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs[0]


def gates_graph(layers: int, hidden: int, vocab: int) -> Graph:
    """Products and elementwise nodes; states (N, H)."""
    graph = Graph()
    graph.matrix("table", vocab, 4 * hidden)
    x = graph.add("Gather", ["table", "ids"], ["x0"], axis=0)
    for n in range(layers):
        h, c = f"h{n}", f"c{n}"
        if n == 0:
            u = graph.matrix("u0", hidden, 4 * hidden)
            sums = graph.add("Add", [x, graph.add("MatMul", [h, u], ["r0"])], ["s0"])
        else:  # one product of [x, h] spares a node and a pass over the gates
            both = graph.add("Concat", [x, h], [f"xh{n}"], axis=-1)
            w = graph.matrix(f"w{n}", 2 * hidden, 4 * hidden)
            bias = graph.matrix(f"b{n}", 4 * hidden)
            sums = graph.add("MatMul", [both, w], [f"r{n}"])
            sums = graph.add("Add", [sums, bias], [f"s{n}"])
        split = graph.constant(f"parts{n}", np.array([3 * hidden, hidden], dtype=np.int64))
        graph.add("Split", [sums, split], [f"ifo{n}", f"g{n}"], axis=-1)
        graph.add("Sigmoid", [f"ifo{n}"], [f"sig{n}"])
        graph.add("Tanh", [f"g{n}"], [f"tg{n}"])
        graph.add("Split", [f"sig{n}"], [f"i{n}", f"f{n}", f"o{n}"], axis=-1, num_outputs=3)
        graph.add("Mul", [f"f{n}", c], [f"fc{n}"])
        graph.add("Mul", [f"i{n}", f"tg{n}"], [f"ig{n}"])
        graph.add("Add", [f"fc{n}", f"ig{n}"], [f"c{n}_out"])
        graph.add("Tanh", [f"c{n}_out"], [f"tc{n}"])
        x = graph.add("Mul", [f"o{n}", f"tc{n}"], [f"h{n}_out"])
    return finish(graph, x, hidden, vocab)


def lstm_graph(layers: int, hidden: int, vocab: int) -> Graph:
    """`LSTM` nodes; states (1, N, H)."""
    graph = Graph()
    graph.constant("eye", np.eye(vocab, dtype=np.float32))
    axis = graph.constant("axis", np.array([0], dtype=np.int64))
    x = graph.add("Gather", ["eye", "ids"], ["rows"], axis=0)
    x = graph.add("Unsqueeze", [x, axis], ["x0"])  # (1, N, V)
    for n in range(layers):
        w = graph.matrix(f"w{n}", 1, 4 * hidden, hidden if n else vocab)
        u = graph.matrix(f"u{n}", 1, 4 * hidden, hidden)
        bias = graph.matrix(f"b{n}", 1, 8 * hidden)
        graph.add(
            "LSTM",
            [x, w, u, bias, "", f"h{n}", f"c{n}"],
            ["", f"h{n}_out", f"c{n}_out"],
            hidden_size=hidden,
        )
        x = f"h{n}_out"
    x = graph.add("Squeeze", [x, axis], ["top"])
    return finish(graph, x, hidden, vocab)


def finish(graph: Graph, x: str, hidden: int, vocab: int) -> Graph:
    """The softmax's inputs."""
    graph.matrix("head", hidden, vocab)
    graph.matrix("head_bias", vocab)
    graph.add("MatMul", [x, "head"], ["raw"])
    graph.add("Add", ["raw", "head_bias"], ["logits"])
    return graph


def session(arguments: dict[str, Any], lead: tuple[int, ...]) -> Any:
    """The graph, loaded."""
    layers, hidden, vocab = (arguments[name] for name in ("layers", "hidden", "vocab"))
    graph = (gates_graph if arguments["form"] == "gates" else lstm_graph)(layers, hidden, vocab)
    states = [f"{part}{n}" for n in range(layers) for part in "hc"]

    def floats(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))

    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, [arguments["streams"]])
    inputs = [ids, *(floats(name, *lead, hidden) for name in states)]
    outputs = [
        floats("logits", arguments["streams"], vocab),
        *(floats(f"{name}_out", *lead, hidden) for name in states),
    ]
    made = helper.make_graph(graph.nodes, "step", inputs, outputs, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments["threads"]
    options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "step.onnx"
        onnx.save(model, str(path))
        if arguments["int8"]:
            whole, path = path, Path(folder) / "int8.onnx"
            quantize_dynamic(str(whole), str(path), weight_type=QuantType.QInt8)
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def draw(logits: Any, uniforms: Any) -> Any:
    """Softmax, then the inverse of the distribution: (N, V), (N,) -> ids (N,)."""
    scaled = logits.astype(np.float64)
    scaled -= scaled.max(axis=1, keepdims=True)
    np.exp(scaled, out=scaled)
    cumulative = np.add.accumulate(scaled, axis=1)
    return (cumulative <= (uniforms * cumulative[:, -1])[:, None]).sum(axis=1)


def stepping(arguments: dict[str, Any]) -> Callable[[], float]:
    """A step; its unit is a character of one stream."""
    streams, hidden, vocab = (arguments[name] for name in ("streams", "hidden", "vocab"))
    lead = (streams,) if arguments["form"] == "gates" else (1, streams)
    runner = session(arguments, lead)
    names = [f"{part}{n}" for n in range(arguments["layers"]) for part in "hc"]
    ids, logits = np.zeros(streams, dtype=np.int64), np.zeros((streams, vocab), dtype=np.float32)
    sets = [{name: np.zeros((*lead, hidden), np.float32) for name in names} for _ in range(2)]
    bindings: list[tuple[Any, Any]] = []  # each with the arrays, which have to outlive it
    for source, target in (sets, sets[::-1]):
        binding = runner.io_binding()

        def bind(way: Callable[..., None], name: str, array: Any) -> None:
            way(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)

        bind(binding.bind_input, "ids", ids)
        bind(binding.bind_output, "logits", logits)
        for name in names:
            bind(binding.bind_input, name, source[name])
            bind(binding.bind_output, f"{name}_out", target[name])
        bindings.append((binding, sets))
    rng, turn, used = np.random.default_rng(1), 0, 512
    block = rng.random((512, streams))

    def step() -> float:
        nonlocal turn, used, block
        runner.run_with_iobinding(bindings[turn][0])
        turn = 1 - turn
        if used == len(block):
            block, used = rng.random(block.shape), 0
        uniforms = block[used]
        used += 1
        if streams == 1:
            scaled = logits[0].astype(np.float64)
            scaled -= np.maximum.reduce(scaled)
            np.exp(scaled, out=scaled)
            cumulative = np.add.accumulate(scaled)
            ids[0] = cumulative.searchsorted(uniforms[0] * cumulative[-1], side="right")
        else:
            ids[:] = draw(logits, uniforms)
        return 1.0

    return step


def prepare(arguments: dict[str, Any]) -> Prepared:
    """Build, load and try each form, a graph and a number of threads; keep the fastest."""
    best: tuple[float, str, Callable[[], float]] | None = None
    for form, threads in arguments["forms"]:
        step = stepping({**arguments, "form": form, "threads": threads})
        for _ in range(10):
            step()
        steps, start = 0, time.perf_counter()
        while time.perf_counter() - start < arguments["seconds"] / 2:
            step()
            steps += 1
        seconds = (time.perf_counter() - start) / steps
        if best is None or seconds < best[0]:
            best = seconds, f"{form}, {threads} threads", step
    assert best is not None
    return Prepared(best[2], seconds=arguments["seconds"], note=best[1])


if __name__ == "__main__":
    serve(prepare)
