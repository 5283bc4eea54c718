"""Specifications of the recurrent cells: equations, weights, and what supports them.

To add a cell, add its specification to `CELLS`, its equations to `charlstm.nn.cells` (torch, for
training) and its time step to `charlstm.inference.cells` (numpy, for inference), then run `make
docs`. The choices of `--cell`, help, weight shapes, checks, the table in
docs/explanation/equations.md and most tests are derived from the specification. A cell trains one
time step at a time, until its class in `charlstm.nn.cells` has a faster `window`.

Notation: x is the layer's input, h its output, c the cell state; a prime marks the new value. sigma
is the logistic function and * is elementwise. W and U are matrices; all other variables are
vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, eq=False)
class CellSpec:
    """The specification of a cell, independent of its weights.

    Attributes:
        name: the value of `--cell`.
        summary: for the option's help; may be empty.
        equations: one time step, `NAME = EXPRESSION`, in order. They use W, U and b of each gate
            (`Wi`, `Ui`, `bi`; without the gate's name if there is only one), and the blocks of
            `extra_biases` and `extra_weights`.
        note: a remark on the equations; may be empty.
        source: the paper.
        tanh_gates: the gates whose activation function is tanh; the others are sigmoid gates.
        gates: the order of the gates' blocks of H rows in `weight_ih`, `weight_hh` and `bias`.
        state: names of the vectors that a time step passes to the next one; the first is the
            output.
        extra_biases: names of the blocks of `bias` that follow those of the gates.
        extra_weights: further weight vectors by name, with the names of their blocks of size H.
        forget_gate: the gate whose bias is initialised to 1.
        inference_gates: the order of the gates in inference, which computes adjacent gates in one
            call; empty: as in `gates`.
        has_zoneout: whether the cell supports `--zoneout`.
        has_training_kernel: whether `charlstm.kernels.lstm_windows` supports the cell.
        has_sampling_kernel: whether `charlstm.kernels.lstm_sampling` supports the cell.
    """

    name: str
    summary: str
    equations: tuple[str, ...]
    source: str
    gates: tuple[str, ...]
    note: str = ""
    tanh_gates: tuple[str, ...] = ()
    state: tuple[str, ...] = ("h", "c")
    extra_biases: tuple[str, ...] = ()
    extra_weights: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    forget_gate: str | None = None
    inference_gates: tuple[str, ...] = ()
    has_zoneout: bool = False
    has_training_kernel: bool = False
    has_sampling_kernel: bool = False

    @property
    def num_gates(self) -> int:
        """G, the number of blocks of H rows in `weight_ih` and `weight_hh`."""
        return len(self.gates)

    @property
    def num_biases(self) -> int:
        """The number of blocks of size H in `bias`."""
        return len(self.gates) + len(self.extra_biases)

    @property
    def inference_layout(self) -> tuple[tuple[int, float], ...]:
        """For each of `inference_gates`, its index in `gates` and a factor for its rows.

        sigma(a) = (tanh(a / 2) + 1) / 2. With the rows of sigmoid gates halved beforehand, one tanh
        serves all gates.
        """
        return tuple(
            (self.gates.index(gate), 1.0 if gate in self.tanh_gates else 0.5)
            for gate in self.inference_gates or self.gates
        )

    def weight_shapes(self, inputs: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of one layer's weights.

        Args:
            inputs: the size of x.
            hidden_size: H.
        """
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (self.num_gates * hidden_size, inputs),
            "weight_hh": (self.num_gates * hidden_size, hidden_size),
            "bias": (self.num_biases * hidden_size,),
        }
        for name, blocks in self.extra_weights.items():
            shapes[name] = (len(blocks) * hidden_size,)
        return shapes


LSTM = CellSpec(
    name="lstm",
    summary="",
    equations=(
        "i = sigma(Wi x + Ui h + bi)",
        "f = sigma(Wf x + Uf h + bf)",
        "g = tanh(Wg x + Ug h + bg)",
        "o = sigma(Wo x + Uo h + bo)",
        "c' = f*c + i*g",
        "h' = o*tanh(c')",
    ),
    source="Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins 2000",
    gates=("i", "f", "g", "o"),
    tanh_gates=("g",),
    forget_gate="f",
    inference_gates=("i", "f", "o", "g"),
    has_training_kernel=True,
    has_sampling_kernel=True,
)

PEEPHOLE = CellSpec(
    name="peephole",
    summary="gates also read the cell state",
    equations=(
        "i = sigma(Wi x + Ui h + bi + pi*c)",
        "f = sigma(Wf x + Uf h + bf + pf*c)",
        "g = tanh(Wg x + Ug h + bg)",
        "c' = f*c + i*g",
        "o = sigma(Wo x + Uo h + bo + po*c')",
        "h' = o*tanh(c')",
    ),
    source="Gers & Schmidhuber 2000",
    gates=("i", "f", "g", "o"),
    tanh_gates=("g",),
    extra_weights=MappingProxyType({"peephole": ("pi", "pf", "po")}),
    forget_gate="f",
    has_zoneout=True,
)

COUPLED = CellSpec(
    name="coupled",
    summary="the input gate is 1 - forget gate",
    equations=(
        "f = sigma(Wf x + Uf h + bf)",
        "g = tanh(Wg x + Ug h + bg)",
        "o = sigma(Wo x + Uo h + bo)",
        "c' = f*c + (1-f)*g",
        "h' = o*tanh(c')",
    ),
    note=(
        "as `lstm` with i = 1 - f; since 1 - sigma(a) = sigma(-a), it is a full LSTM whose input "
        "gate has the forget gate's weights negated"
    ),
    source="Greff et al. 2017 (CIFG)",
    gates=("f", "g", "o"),
    tanh_gates=("g",),
    forget_gate="f",
    inference_gates=("f", "o", "g"),
    has_training_kernel=True,
    has_sampling_kernel=True,
)

GRU = CellSpec(
    name="gru",
    summary="gated, without a cell state",
    equations=(
        "r = sigma(Wr x + Ur h + br)",
        "z = sigma(Wz x + Uz h + bz)",
        "n = tanh(Wn x + bn + r*(Un h + cn))",
        "h' = (1-z)*n + z*h",
    ),
    source="Cho et al. 2014; reset after the product",
    gates=("r", "z", "n"),
    tanh_gates=("n",),
    state=("h",),
    extra_biases=("cn",),
)

RNN = CellSpec(
    name="rnn",
    summary="no gates",
    equations=("h' = tanh(W x + U h + b)",),
    source="Elman 1990",
    gates=("h",),
    tanh_gates=("h",),
    state=("h",),
)

CELLS: Mapping[str, CellSpec] = MappingProxyType(
    {cell.name: cell for cell in (LSTM, PEEPHOLE, COUPLED, GRU, RNN)}
)
"""All cells by name, in the order of the help and the documentation."""

TRAINING_KERNEL_CELLS = tuple(name for name, cell in CELLS.items() if cell.has_training_kernel)
"""Names of the cells that `--kernel compiled` supports."""

SAMPLING_KERNEL_CELLS = tuple(name for name, cell in CELLS.items() if cell.has_sampling_kernel)
"""Names of the cells that compiled code supports in inference."""

ZONEOUT_CELLS = tuple(name for name, cell in CELLS.items() if cell.has_zoneout)
"""Names of the cells that support `--zoneout`."""


def summaries() -> str:
    """The list of cells for the help of `--cell`."""
    return "; ".join(
        f"{cell.name} ({cell.summary})" if cell.summary else cell.name for cell in CELLS.values()
    )
