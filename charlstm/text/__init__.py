"""Text in: sources, tokenizer, corpus and windows (numpy only)."""
