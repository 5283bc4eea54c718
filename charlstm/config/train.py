"""Options of training."""

from __future__ import annotations

from charlstm.config.fields import (
    BOUND,
    COUNT,
    COUNT_OR_ZERO,
    FRACTION,
    Range,
    Section,
    option,
    section,
)
from charlstm.errors import ConfigError


@section
class TrainConfig(Section):
    """Options of training: length, optimizer, hardware, logging and checkpoints."""

    epochs: int = option(
        0,
        "Number of epochs (0: chosen automatically).",
        group="Training",
        within=COUNT_OR_ZERO,
        on_resume=True,
        chosen=True,
    )
    minutes: float = option(
        0.0,
        "Time budget of the run in minutes; the learning rate decays to 0 at its end. Options not "
        "given are chosen automatically (0: train for --epochs).",
        group="Training",
        within=Range(0, 1e6),
        on_resume=True,
    )
    stop_after: int = option(
        0,
        "Pause after this many epochs; the schedule still spans --epochs (0: never).",
        group="Training",
        within=COUNT_OR_ZERO,
        on_resume=True,
    )
    patience: int = option(
        0,
        "Early stopping: stop after this many evaluations without improvement (0: never).",
        group="Training",
        within=COUNT_OR_ZERO,
        on_resume=True,
    )
    on_overfit: str = option(
        "continue",
        "When validation loss rises while training loss falls: continue; or decay: restore the "
        "weights of the best evaluation, decay the learning rate to 0 in about half of the time "
        "so far, and end (for the linear and cosine schedules).",
        group="Training",
        choices=("continue", "decay"),
        chosen=True,
    )
    seed: int = option(
        1,
        "Random seed of initial weights, window order and dropout.",
        group="Training",
        within=COUNT_OR_ZERO,
    )
    freeze: int = option(
        0,
        "With --from: number of lowest layers that are frozen at first (gradual unfreezing). The "
        "highest of them is trained first, and all of them after a quarter of the run. The "
        "embeddings or inputs of characters and the softmax are never frozen.",
        group="Training",
        within=Range(0, 64),
    )
    optimizer: str = option(
        "adamw", "Optimizer.", group="Optimizer", choices=("adamw", "adam", "rmsprop", "sgd")
    )
    lr: float = option(
        0.008,
        "Peak learning rate.",
        group="Optimizer",
        within=Range(0, 1e6, open_low=True),
        on_resume=True,
        chosen=True,
    )
    schedule: str = option(
        "linear",
        "Learning rate schedule: constant; linear (constant until --decay-after, then linear to "
        "0); cosine (constant until --decay-after, then a half cosine to 0); step (multiplied by "
        "--decay-rate at epoch --decay-after, then every --decay-every epochs).",
        group="Optimizer",
        choices=("constant", "linear", "cosine", "step"),
    )
    warmup: int = option(
        50,
        "Steps over which the learning rate rises linearly to its peak.",
        group="Optimizer",
        within=COUNT_OR_ZERO,
    )
    decay_after: float | None = option(
        None,
        "Start of decay: a fraction of the run (linear, cosine; default 0.4) or an epoch (step; "
        "default --decay-every).",
        group="Optimizer",
        within=COUNT_OR_ZERO,
    )
    decay_every: int = option(
        1, "Epochs between decays of the step schedule.", group="Optimizer", within=COUNT
    )
    decay_rate: float = option(
        0.5,
        "Factor of each decay of the step schedule.",
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
        "L1 regularisation of matrices, for sparse weights: each step reduces their magnitude by "
        "this value times the learning rate.",
        group="Regularisation",
        within=Range(0, 1e6),
    )
    average: float = option(
        0.0,
        "Average the weights over this last fraction of the run (0: never). The best checkpoint "
        "has the averaged weights if their validation loss is lower.",
        group="Regularisation",
        within=FRACTION,
    )
    label_smoothing: float = option(
        0.0,
        "Label smoothing: probability of each target that is distributed over all characters. "
        "Reported losses do not include it.",
        group="Regularisation",
        within=FRACTION,
    )
    beta1: float = option(
        0.9,
        "Decay rate of the gradient average: beta1 of Adam, momentum of sgd.",
        group="Optimizer",
        within=FRACTION,
    )
    beta2: float = option(
        0.99,
        "Decay rate of the squared gradient average: beta2 of Adam, alpha of RMSprop.",
        group="Optimizer",
        within=FRACTION,
    )
    clip_norm: float = option(
        1.0,
        "Clip the gradient norm to this value (0: off).",
        group="Optimizer",
        within=BOUND,
        on_resume=True,
    )
    clip_value: float = option(
        0.0,
        "Clip each gradient element to +- this value (0: off).",
        group="Optimizer",
        within=BOUND,
        on_resume=True,
    )
    device: str = option(
        "auto",
        "Device to train on.",
        group="Machine",
        choices=("auto", "cpu", "cuda", "mps"),
        on_resume=True,
    )
    precision: str = option(
        "auto",
        "Number format of matrix products; auto: bfloat16 if a short measurement finds it faster, "
        "else float32. tf32 is for NVIDIA GPUs.",
        group="Machine",
        choices=("auto", "float32", "tf32", "bfloat16"),
    )
    kernel: str = option(
        "auto",
        "LSTM implementation on a CPU: torch, or compiled by numba (the extra charlstm[fast]); "
        "auto: compiled if it is available and a short measurement finds it faster.",
        group="Machine",
        choices=("auto", "torch", "compiled"),
        on_resume=True,
    )
    processes: int = option(
        1,
        "Number of data-parallel processes (auto: the number that a short measurement finds "
        "fastest). torchrun sets its own number.",
        group="Machine",
        within=Range(0, 1024),
        on_resume=True,
        zero="auto",
    )
    threads: int = option(
        0,
        "Number of CPU threads (0: one for each available processor, divided among the processes).",
        group="Machine",
        within=Range(0, 4096),
        on_resume=True,
    )
    eval_every: int = option(
        0,
        "Steps between evaluations; each epoch also ends with one (0: chosen automatically, for "
        "long epochs only; with --minutes about ten in the whole run).",
        group="Run",
        within=COUNT_OR_ZERO,
        on_resume=True,
    )
    log_every: int = option(100, "Steps between lines in metrics.jsonl.", group="Run", within=COUNT)
    sample_every: int = option(
        500,
        "Steps between previews of generated text (0: none).",
        group="Run",
        within=COUNT_OR_ZERO,
        on_resume=True,
    )
    save_every: int = option(
        0,
        "Steps between checkpoints (0: about one a minute). Each evaluation also saves one.",
        group="Run",
        within=COUNT_OR_ZERO,
        on_resume=True,
    )
    keep: int = option(
        1,
        "Number of step-numbered checkpoints to keep, in addition to best.npz and last.npz.",
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
