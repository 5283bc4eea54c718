"""Kernels: code that numba compiles for the processor, for the optional extra `charlstm[fast]`.

- `availability`: what can be used on this processor
- `jit`: the decorator, and the cache on disk
- `llvm`: all that is taken from numba's internals and from llvmlite
- `elementary`: tanh, exp, the logistic function; float32 to and from bfloat16 and bytes
- `matmul`: the matrix product, in tiles that depend on the class of the processor
- `matmul_transposed`: the same of a transposed matrix, for the gradient of weights
- `team`: threads that work together
- `dropout`: dropout that any thread or process can draw again
- `lstm_windows`: training, windows of LSTM forward and backward
- `lstm_sampling`: sampling from a stack of LSTM layers

Importing `charlstm.kernels` or `availability` is cheap. Every other module imports numba, which
takes most of a second.
"""
