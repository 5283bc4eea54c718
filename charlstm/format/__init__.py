"""Formats on disk: checkpoints and their metadata, training progress, atomic writes."""
