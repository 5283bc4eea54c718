"""Presets, and the automatic choice of options from corpus size and time budget."""
