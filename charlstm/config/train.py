"""How the network learns, and what is kept."""

from __future__ import annotations

from dataclasses import dataclass

from charlstm.config.fields import BOUND, COUNT, COUNT_OR_ZERO, FRACTION, Range, Section, option
from charlstm.errors import ConfigError


@dataclass(frozen=True)
class TrainConfig(Section):
    """How the network learns, and what is kept during training."""

    epochs: int = option(
        0,
        "Epochs: how often the training text is read (0: chosen automatically).",
        group="Training",
        within=COUNT_OR_ZERO,
        on_resume=True,
        chosen=True,
    )
    minutes: float = option(
        0.0,
        "Train for this long in total; the learning rate decays to 0 at the end, and what is "
        "not given is chosen to fit (0: train for --epochs).",
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
        "When decay begins: a fraction of the run (linear, cosine; default 0.4) or an epoch "
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
        "Decoupled weight decay of matrices. Biases, peepholes and norms are exempt.",
        group="Regularisation",
        within=Range(0, 1e6),
        chosen=True,
    )
    l1: float = option(
        0.0,
        "Shrink matrices towards exact zeros, in each step by this times the learning rate "
        "(L1): for sparse weights.",
        group="Regularisation",
        within=Range(0, 1e6),
    )
    average: float = option(
        0.0,
        "Average the weights over the last fraction of the run; the best checkpoint takes the "
        "average where it predicts better.",
        group="Regularisation",
        within=FRACTION,
    )
    label_smoothing: float = option(
        0.0,
        "Fraction of each target spread over all characters, against overconfidence. Reported "
        "losses are without it.",
        group="Regularisation",
        within=FRACTION,
    )
    beta1: float = option(
        0.9,
        "Decay of the gradient's moving average: Adam's beta1, the momentum of sgd.",
        group="Optimizer",
        within=FRACTION,
    )
    beta2: float = option(
        0.99,
        "Decay of the squared gradient's moving average: Adam's beta2, RMSprop's alpha.",
        group="Optimizer",
        within=FRACTION,
    )
    clip_norm: float = option(
        1.0,
        "Scale the gradient down to this norm (0: no limit).",
        group="Optimizer",
        within=BOUND,
        on_resume=True,
    )
    clip_value: float = option(
        0.0,
        "Clamp each gradient to +- this value (0: no limit).",
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
        "Number format of matrix products; auto is bfloat16 where a probe finds it faster. tf32 "
        "is for NVIDIA GPUs.",
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
        "Processes that divide each batch (auto: as many as a short measurement finds fastest). "
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
                f"{self.schedule} it is a fraction of the run, allowed: 0 <= x <= 1."
            )
