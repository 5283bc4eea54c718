"""Runs (numpy only): a folder for each, with checkpoints, a metrics log, and a lock."""
