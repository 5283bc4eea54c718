"""What the kernels can compute on this processor."""

from __future__ import annotations

import importlib.util

from charlstm.errors import CompiledCodeError, ProcessorError

# The instructions that products of each precision compile to, on x86.
_INSTRUCTIONS = {"float32": "fma", "bfloat16": "avx512bf16", "int8": "avx512vnni"}


def unavailable(precision: str) -> Exception | None:
    """Why the kernels cannot multiply numbers of a precision here; None if they can.

    Nothing is compiled for the answer. LLVM ends the whole process where it is asked for
    instructions that its target lacks, so ask before calling a kernel.

    Args:
        precision: float32, bfloat16 or int8.

    Returns:
        ModuleNotFoundError: numba is not installed.
        ProcessorError: this processor lacks the instructions.
        CompiledCodeError: numba is set up so that it cannot be used: by NUMBA_DISABLE_JIT,
            NUMBA_CPU_NAME, NUMBA_CPU_FEATURES or NUMBA_ENABLE_AVX, or without a folder for its
            cache.
    """
    if importlib.util.find_spec("numba") is None:
        return ModuleNotFoundError("numba is not installed (pip install 'charlstm[fast]').")
    try:
        import charlstm.kernels.matmul  # noqa: F401, PLC0415 - imports numba, opens its cache
        from charlstm.kernels.llvm import IS_X86, host_features, numba_target  # noqa: PLC0415
    except CompiledCodeError as error:
        return error
    if precision == "float32" and not IS_X86:
        return None  # LLVM has a fused multiply-add for each other processor that numba supports
    name = _INSTRUCTIONS[precision]
    host = host_features()
    if not host.get(name):
        return ProcessorError(f"this processor has no {precision} products ({name}).")
    is_host, features = numba_target()
    # A feature that is turned off takes those with it that build on it: any may be needed.
    turned_off = any(not on and host.get(feature) for feature, on in features.items())
    if turned_off or not (is_host or features.get(name)):
        return CompiledCodeError(
            f"numba is set to a processor without {precision} products (NUMBA_CPU_NAME, "
            "NUMBA_CPU_FEATURES)."
        )
    return None
