"""Hyperparameter search with Optuna (the extra `search`); each trial is an ordinary run."""
