"""Other programs, each in its best form, as `benchmarks/contest.py` starts them."""
