"""Reading texts (numpy only): sources, tokenizer, corpus, splits and windows."""
