"""What to train with: presets by name, and the automatic choice from text size and time budget."""
