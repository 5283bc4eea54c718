"""Runs: a folder each, with checkpoints, a log, and a lock for whoever trains (numpy only)."""
