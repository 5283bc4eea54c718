"""Training (torch): set-up, the training loop, evaluation, and checkpoints of a run."""
