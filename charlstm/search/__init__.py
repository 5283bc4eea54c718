"""Search for better settings with Optuna (the extra `search`); each trial is an ordinary run."""
