"""Code that numba compiles, for the optional extra `charlstm[fast]`."""
