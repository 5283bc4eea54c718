"""What this machine offers for training and sampling, and what could be better."""
