"""Every option, once: its default, meaning and range live on the field.

The command line builds its options from these fields, a checkpoint stores them as JSON, and the
library takes the dataclasses. Nothing here imports anything heavy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from charlstm.errors import ConfigError, UnknownOptionError
from charlstm.fields import Range, Section, check_type, option

FRACTION = Range(0, 1, open_high=True)
COUNT = Range(1, 2**31 - 1)
COUNT_OR_ZERO = Range(0, 2**31 - 1)
COMPILED_CELLS = ("lstm", "coupled")  # for which `--kernel compiled` has code
BOUND = Range(0, 1e30)  # for numbers that float32 must hold, and their squares' sums float64


@dataclass(frozen=True)
class TextConfig(Section):
    """How sources become one text, and how that text is divided."""

    glob: str = option(
        "**/*.txt",
        "Files taken from a folder, whatever their case; hidden ones only where a part of the "
        "pattern begins with a dot.",
        group="Text",
    )
    exclude: tuple[str, ...] = option(
        (),
        "Files and folders left out of a folder: a pattern for a name, or for a path in it "
        "(repeatable).",
        group="Text",
    )
    encoding: str = option(
        "utf-8",
        "Encoding of the text. A UTF-16 or UTF-32 byte order mark is recognised.",
        group="Text",
    )
    encoding_errors: str = option(
        "strict",
        "What to do with invalid bytes.",
        group="Text",
        choices=("strict", "replace", "ignore"),
    )
    keep_newlines: bool = option(
        False, "Keep CRLF and CR line ends (otherwise each becomes LF).", group="Text"
    )
    lowercase: bool = option(False, "Fold the text to lower case.", group="Text")
    min_count: int = option(
        1,
        "Characters seen less often become one replacement character.",
        group="Text",
        within=COUNT,
    )
    val_fraction: float = option(
        0.1,
        "Share of the text held out for validation: its last part, before the test part.",
        group="Text",
        within=FRACTION,
    )
    test_fraction: float = option(
        0.0,
        "Share of the text held out for a test: the very last part, never looked at.",
        group="Text",
        within=FRACTION,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.val_fraction + self.test_fraction >= 1:
            raise ConfigError(
                f"--val-fraction {self.val_fraction:g} and --test-fraction "
                f"{self.test_fraction:g} leave no text to train on; allowed: a sum below 1."
            )


@dataclass(frozen=True)
class ModelConfig(Section):
    """The network's shape."""

    cell: str = option(
        "lstm",
        "Recurrent cell: lstm; peephole (its gates see the memory); coupled (what is written is "
        "what is forgotten); gru (no memory of its own); rnn (no gates: it forgets).",
        group="Model",
        choices=("lstm", "peephole", "coupled", "gru", "rnn"),
        chosen=True,
    )
    direction: str = option(
        "forward",
        "Read from left to right, or from both sides of each character (both: for `charlstm "
        "fill`; such a model cannot write left to right).",
        group="Model",
        choices=("forward", "both"),
    )
    num_layers: int = option(
        1, "Layers, one above the other.", group="Model", within=Range(1, 64), flag="--layers"
    )
    hidden_size: int = option(
        512, "Units in each layer.", group="Model", within=Range(1, 65536), chosen=True
    )
    embedding: int = option(
        0,
        "Learn a vector of N numbers for each character in place of its one-hot (0): fewer "
        "weights where there are many characters, and often quicker to learn.",
        group="Model",
        within=Range(0, 65536),
        chosen=True,
    )
    residual: bool = option(
        False,
        "Add each layer's input to its output, from the second layer on: for deep stacks (two "
        "layers unless --layers is given).",
        group="Model",
    )
    dense_output: bool = option(
        False,
        "All layers feed the softmax, not the last alone (two layers unless --layers is given).",
        group="Model",
    )
    layer_norm: bool = option(
        False,
        "Normalise what a layer passes up: steadies deep stacks (two layers unless --layers is "
        "given).",
        group="Model",
    )
    dropout: float = option(
        0.2,
        "Share of activations dropped between layers and before the softmax in training: "
        "against learning a small text by heart.",
        group="Regularisation",
        within=FRACTION,
        chosen=True,
    )
    locked_dropout: float = option(
        0.0,
        "The same with one mask for a whole window, so that a unit stays dropped: stronger.",
        group="Regularisation",
        within=FRACTION,
    )
    input_dropout: float = option(
        0.0,
        "Share of whole characters hidden from the first layer: against leaning on the last few.",
        group="Regularisation",
        within=FRACTION,
    )
    recurrent_dropout: float = option(
        0.0,
        "Share of recurrent weights dropped for a window: against learning long passages by heart.",
        group="Regularisation",
        within=FRACTION,
        chosen=True,
    )
    logit_scale: float = option(
        1.0,
        "Multiplies the logits once the network is trained: below 1, what was read many times "
        "does not make it surer than new text bears out.",
        group="Regularisation",
        within=Range(0, 10, open_low=True),
        chosen=True,
    )
    zoneout: float = option(
        0.0,
        "Share of units that keep their old state at a step: trains long memory (for --cell "
        "peephole, which is used unless --cell is given).",
        group="Regularisation",
        within=FRACTION,
    )

    @property
    def stack_width(self) -> int:
        """How many numbers a stack of layers gives to the softmax for each character."""
        return self.hidden_size * (self.num_layers if self.dense_output else 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.zoneout and self.cell != "peephole":
            raise ConfigError(
                f"--zoneout {self.zoneout:g} needs --cell peephole: the other cells run in kernels "
                "that take no masks at each step."
            )
        for name, flag in (
            ("residual", "--residual"),
            ("dense_output", "--dense-output"),
            ("layer_norm", "--layer-norm"),
        ):
            if getattr(self, name) and self.num_layers < 2:
                raise ConfigError(
                    f"{flag} works between layers of equal size; with --layers 1 there is "
                    "nothing for it: give --layers 2 or more."
                )


@dataclass(frozen=True)
class WindowConfig(Section):
    """How the training text is cut into windows."""

    maxlen: int = option(
        32,
        "Characters in a window: how far gradients flow back.",
        group="Windows",
        within=COUNT,
        chosen=True,
    )
    batch_size: int = option(32, "Windows in a batch.", group="Windows", within=COUNT, chosen=True)
    stateless: bool = option(
        False,
        "Start each window from a zero state, windows shuffled. Otherwise the batch is "
        "parallel streams whose state is carried from window to window.",
        group="Windows",
    )
    grow: float = option(
        0.0,
        "Share of the run over which windows grow: quarters of a window at first, then halves, "
        "then whole ones. Short ones learn faster while there is little to remember.",
        group="Windows",
        within=Range(0, 1),
        chosen=True,
    )
    reset: float = option(
        0.0,
        "Share of windows that a stream begins from a zero state: teaches what to do with "
        "little before it (streams only).",
        group="Windows",
        within=FRACTION,
        chosen=True,
    )
    step: int = option(
        3,
        "Characters from one window's start to the next (--stateless only).",
        group="Windows",
        within=COUNT,
    )
    targets: str = option(
        "all",
        "Learn to predict at every position of a window, or after its last only.",
        group="Windows",
        choices=("all", "last"),
    )


@dataclass(frozen=True)
class TrainConfig(Section):
    """How the network learns, and what is kept on the way."""

    epochs: int = option(
        0,
        "Passes over the training text (0: chosen from its size, and said).",
        group="Training",
        within=COUNT_OR_ZERO,
        on_resume=True,
        chosen=True,
    )
    minutes: float = option(
        0.0,
        "Train for that long, all told, and decay the rate to 0 just then; the model and what "
        "is not given are chosen to fit (0: train for --epochs).",
        group="Training",
        within=Range(0, 1e6),
        on_resume=True,
    )
    stop_after: int = option(
        0,
        "Pause after this many epochs, to be resumed; the schedule still spans --epochs "
        "(0: never).",
        group="Training",
        within=COUNT_OR_ZERO,
        on_resume=True,
    )
    patience: int = option(
        0,
        "Stop after this many evaluations without a new best (0: never). The best is kept.",
        group="Training",
        within=COUNT_OR_ZERO,
        on_resume=True,
    )
    seed: int = option(
        1,
        "Seed of the weights, the windows and dropout.",
        group="Training",
        within=COUNT_OR_ZERO,
    )
    optimizer: str = option(
        "adamw", "Optimizer.", group="Optimizer", choices=("adamw", "adam", "rmsprop", "sgd")
    )
    lr: float = option(
        0.008,
        "Learning rate at its peak.",
        group="Optimizer",
        within=Range(0, 1e6, open_low=True),
        on_resume=True,
        chosen=True,
    )
    schedule: str = option(
        "linear",
        "Learning rate over time: constant; linear (flat until --decay-after, then "
        "straight to 0 at the end); cosine (the same, along a half cosine); step (times "
        "--decay-rate at epoch --decay-after and each --decay-every epochs from there).",
        group="Optimizer",
        choices=("constant", "linear", "cosine", "step"),
    )
    warmup: int = option(
        50,
        "Steps over which the learning rate rises to its peak.",
        group="Optimizer",
        within=COUNT_OR_ZERO,
    )
    decay_after: float | None = option(
        None,
        "When decay begins: a share of the run (linear, cosine; default 0.4) or an epoch "
        "(step; default --decay-every).",
        group="Optimizer",
        within=COUNT_OR_ZERO,
    )
    decay_every: int = option(
        1, "Epochs between two decays of the step schedule.", group="Optimizer", within=COUNT
    )
    decay_rate: float = option(
        0.5,
        "Factor of one decay of the step schedule.",
        group="Optimizer",
        within=Range(0, 1, open_low=True),
    )
    weight_decay: float = option(
        0.01,
        "Pull of matrices towards zero, decoupled from the gradient: against large weights. "
        "Biases, peepholes and norms are exempt.",
        group="Regularisation",
        within=Range(0, 1e6),
        chosen=True,
    )
    l1: float = option(
        0.0,
        "Pull of matrices towards exact zeros, a step's being this times the rate: for sparse "
        "weights.",
        group="Regularisation",
        within=Range(0, 1e6),
    )
    average: float = option(
        0.0,
        "Average the weights over the last share of the run; the best checkpoint takes the "
        "average where it predicts better.",
        group="Regularisation",
        within=FRACTION,
    )
    label_smoothing: float = option(
        0.0,
        "Share of each target spread over all characters: against overconfidence. Losses that "
        "are shown stay without it.",
        group="Regularisation",
        within=FRACTION,
    )
    beta1: float = option(
        0.9,
        "Memory of the gradient: Adam's beta1, the momentum of sgd.",
        group="Optimizer",
        within=FRACTION,
    )
    beta2: float = option(
        0.99,
        "Memory of the squared gradient: Adam's beta2, RMSprop's alpha.",
        group="Optimizer",
        within=FRACTION,
    )
    clip_norm: float = option(
        1.0,
        "Scale the gradient down to this norm (0: leave it).",
        group="Optimizer",
        within=BOUND,
        on_resume=True,
    )
    clip_value: float = option(
        0.0,
        "Clamp each gradient to +- this value (0: leave it).",
        group="Optimizer",
        within=BOUND,
        on_resume=True,
    )
    device: str = option(
        "auto",
        "Where to train.",
        group="Machine",
        choices=("auto", "cpu", "cuda", "mps"),
        on_resume=True,
    )
    precision: str = option(
        "auto",
        "Number format of the products; auto is bfloat16 where a probe finds it faster. tf32 is "
        "for NVIDIA GPUs.",
        group="Machine",
        choices=("auto", "float32", "tf32", "bfloat16"),
    )
    kernel: str = option(
        "auto",
        "What computes LSTM windows on a CPU: torch, or compiled code (the extra charlstm[fast]); "
        "auto is the compiled where it is there and a probe finds it faster.",
        group="Machine",
        choices=("auto", "torch", "compiled"),
        on_resume=True,
    )
    processes: int = option(
        1,
        "Processes that share the work (auto: as many as a short measurement finds fastest). "
        "torchrun sets its own number.",
        group="Machine",
        within=Range(0, 1024),
        on_resume=True,
        zero="auto",
    )
    threads: int = option(
        0,
        "Processor threads (0: one for each available processor, divided among the processes).",
        group="Machine",
        within=Range(0, 4096),
        on_resume=True,
    )
    eval_every: int = option(
        0,
        "Steps between evaluations within an epoch, whose end is evaluated in any case (0: "
        "chosen, for long epochs only; under --minutes about ten times, evenly over the run).",
        group="Run",
        within=COUNT_OR_ZERO,
        on_resume=True,
    )
    log_every: int = option(100, "Steps between lines in metrics.jsonl.", group="Run", within=COUNT)
    sample_every: int = option(
        500,
        "Steps between previews of the model's text (0: none).",
        group="Run",
        within=COUNT_OR_ZERO,
        on_resume=True,
    )
    save_every: int = option(
        0,
        "Steps between saves (0: about a minute). Each evaluation saves, too.",
        group="Run",
        within=COUNT_OR_ZERO,
        on_resume=True,
    )
    keep: int = option(
        1,
        "Numbered checkpoints kept beside best.npz and last.npz.",
        group="Run",
        within=COUNT_OR_ZERO,
        on_resume=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule in ("linear", "cosine") and (self.decay_after or 0) > 1:
            raise ConfigError(
                f"--decay-after {self.decay_after:g} is out of range; with --schedule "
                f"{self.schedule} it is a share of the run, allowed: 0 <= x <= 1."
            )


@dataclass(frozen=True)
class MoreConfig(Section):
    """How much longer a run trains that is resumed."""

    more_epochs: int | None = option(
        None,
        "With --resume: train this many epochs more, whatever the run's --epochs and --minutes.",
        group="Training",
        within=COUNT,
    )
    more_minutes: float | None = option(
        None,
        "With --resume: train this long, from now on, whatever the run's --epochs and --minutes.",
        group="Training",
        within=Range(0, 1e6, open_low=True),
    )

    @property
    def is_given(self) -> bool:
        """Whether the run is to train longer than it was started for."""
        return self.more_epochs is not None or self.more_minutes is not None


@dataclass(frozen=True)
class SampleConfig(Section):
    """How text is drawn from a model."""

    temperature: float = option(
        0.8,
        "Divides the logits: below 1 safer, above 1 wilder, 0 always the likeliest.",
        group="Sampling",
        within=Range(0, 100),
        flag="--temp",
    )
    top_k: int = option(
        0, "Keep the k likeliest characters (0: all).", group="Sampling", within=COUNT_OR_ZERO
    )
    top_p: float = option(
        1.0,
        "Keep the likeliest characters that together reach this probability.",
        group="Sampling",
        within=Range(0, 1, open_low=True),
    )
    min_p: float = option(
        0.0,
        "Drop characters below this share of the likeliest one's probability.",
        group="Sampling",
        within=Range(0, 1),
    )
    precision: str = option(
        "float32",
        "Number format of the products; bfloat16 reads half as much for each character, int8 a "
        "quarter; both round probabilities, and need the extra charlstm[fast].",
        group="Sampling",
        choices=("float32", "bfloat16", "int8"),
    )
    length: int = option(1000, "Characters to write.", group="Sampling", within=COUNT_OR_ZERO)
    seed: int | None = option(
        None,
        "The same seed, options and model give the same text, on the same machine with the same "
        "packages and number of processors (default: a new seed each time).",
        group="Sampling",
        within=Range(0, 2**63 - 1),
    )
    stop: tuple[str, ...] = option(
        (),
        "End before this text (repeatable: before the one that begins first). For a newline see "
        "--escapes.",
        group="Sampling",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if "" in self.stop:
            raise ConfigError("--stop '' is empty; give the text before which to end.")


@dataclass(frozen=True)
class DynamicConfig(Section):
    """How weights follow the text that is read (`--dynamic`)."""

    dynamic_rate: float = option(
        8e-4,
        "How far each window moves the weights (--dynamic).",
        group="Dynamic",
        within=Range(0, 1),
    )
    dynamic_decay: float = option(
        5e-3,
        "How far they lean back to what was trained after each window (--dynamic).",
        group="Dynamic",
        within=Range(0, 1),
    )
    dynamic_window: int = option(
        32,
        "Characters in a window (--dynamic).",
        group="Dynamic",
        within=Range(1, 1_000_000),
    )


@dataclass(frozen=True)
class FillConfig(Section):
    """How blanks are filled in."""

    blank: str = option("_", "The character that stands for a blank.", group="Filling")
    temperature: float = option(
        0.8,
        "Divides the logits: below 1 safer, above 1 wilder, 0 always the likeliest.",
        group="Filling",
        within=Range(0, 100),
        flag="--temp",
    )
    sweeps: int = option(
        10,
        "How often every blank is drawn anew, given all others.",
        group="Filling",
        within=Range(0, 100_000),
    )
    seed: int | None = option(
        None,
        "The same seed, options and model give the same text, on the same machine with the same "
        "packages and number of processors (default: a new seed each time).",
        group="Filling",
        within=Range(0, 2**63 - 1),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.blank) != 1:
            raise ConfigError(f"--blank {self.blank!r} must be one character, such as '_'.")


@dataclass(frozen=True)
class Config:
    """All that shapes a training run."""

    text: TextConfig = field(default_factory=TextConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    windows: WindowConfig = field(default_factory=WindowConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        for name, kind in SECTIONS.items():
            check_type(name, getattr(self, name), kind)
        if self.train.kernel == "compiled" and self.model.cell not in COMPILED_CELLS:
            raise ConfigError(
                f"--kernel compiled is for --cell {' and '.join(COMPILED_CELLS)}, not for "
                f"{self.model.cell}; use --kernel auto or torch."
            )
        if self.model.direction == "both" and self.windows.targets == "last":
            raise ConfigError(
                "--direction both needs --targets all (recipes may set last): after a window's "
                "last character there is nothing to read from the right."
            )

    def to_json(self) -> dict[str, Any]:
        """One JSON object a section."""
        return {name: getattr(self, name).to_json() for name in SECTIONS}

    @classmethod
    def from_json(cls, data: object) -> Config:
        """Rebuild from `to_json`'s object.

        Raises:
            ConfigError: as for a section.
        """
        if not isinstance(data, Mapping):
            raise ConfigError(f"a configuration has the sections {', '.join(SECTIONS)}.")
        if unknown := sorted(set(map(str, data)) - set(SECTIONS)):
            raise UnknownOptionError(f"a configuration has no section {unknown[0][:80]!r}.")
        sections: dict[str, Any] = {
            name: kind.from_json(data.get(name, {})) for name, kind in SECTIONS.items()
        }
        return cls(**sections)

    def override(self, changes: Mapping[str, Any]) -> Config:
        """A copy with fields of any section replaced; names are unique over all sections.

        Raises:
            ConfigError: a value is out of range.
        """
        sections: dict[str, Any] = {}
        for name, kind in SECTIONS.items():
            names = {spec.name for spec in dataclasses.fields(kind)}  # type: ignore[arg-type]
            own = {key: value for key, value in changes.items() if key in names}
            sections[name] = dataclasses.replace(getattr(self, name), **own)
        return Config(**sections)


def check_values(changes: Mapping[str, Any]) -> None:
    """Check each value by itself, where the options that it goes with are not known yet.

    Raises:
        ConfigError: a value has the wrong type, or is out of range.
    """
    for kind in SECTIONS.values():
        for spec in dataclasses.fields(kind):  # type: ignore[arg-type]
            if spec.name in changes:
                kind.checked(spec, changes[spec.name])


SECTIONS: dict[str, type[Section]] = {
    "text": TextConfig,
    "model": ModelConfig,
    "windows": WindowConfig,
    "train": TrainConfig,
}
