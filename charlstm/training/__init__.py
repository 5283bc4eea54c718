"""The loop that turns a corpus into weights (torch)."""
